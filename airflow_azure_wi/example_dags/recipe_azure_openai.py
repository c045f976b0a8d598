"""Azure OpenAI: query a deployed model with access tokens instead of a key.

Install: `openai`. Role: Cognitive Services OpenAI User, on the Azure OpenAI resource.
Tested by running it against a stand-in for the resource's API.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

SCOPE = "https://cognitiveservices.azure.com/.default"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_azure_openai():
    @task
    def summarize():
        from openai import AzureOpenAI

        hook = AzureWorkloadIdentityHook("azure_wi")
        with AzureOpenAI(
            azure_endpoint="https://acct.openai.azure.com",
            api_version="2024-10-21",
            # Called before each request, because the client can outlive a token.
            azure_ad_token_provider=lambda: hook.get_token(SCOPE).token,
        ) as client:
            answer = client.chat.completions.create(
                model="gpt-4o",  # the name of your deployment
                messages=[{"role": "user", "content": "Say in three words what Airflow does."}],
            )
        return answer.choices[0].message.content

    summarize()


recipe_azure_openai()
