"""What a token request that fails means for a workload, whether another attempt may help, and how to fix it.

Each error code of Microsoft Entra ID has its source beside it; ``owner/name#1`` is an issue on GitHub, DEVOPS and
REFERENCE are these tables:

- DEVOPS: https://github.com/MicrosoftDocs/azure-devops-docs,
  ``docs/pipelines/release/includes/errors-workload-identity.md``
- REFERENCE: https://learn.microsoft.com/entra/identity-platform/reference-error-codes

"Unverified" says what no public report confirms.
"""

import math
import re
from dataclasses import dataclass
from enum import Enum

from airflow_azure_wi.provider import option_name
from airflow_azure_wi.redaction import excerpt
from airflow_azure_wi.tokens import ROTATION_ADVICE


class Retry(Enum):
    """Whether the same exchange may succeed when it is made again."""

    NEVER = "never"
    ONCE = "once"
    """The answer is usually final, but is known to be wrong now and then."""
    TRANSIENT = "transient"
    """Entra, or something that it depends on, is busy or out of order for a while."""


class Fix(Enum):
    """What a message can end with."""

    NONE = "none"
    CREATE_CREDENTIAL = "create credential"
    """The command that creates the federated identity credential for the token that was presented."""


@dataclass(frozen=True)
class Explanation:
    """What a failed token request means for a workload.

    :ivar cause: what is wrong, or what is likely to be.
    :ivar next_step: what to do about it.
    :ivar retry: whether another attempt may help.
    :ivar fix: which command fixes it, where one does.
    """

    cause: str
    next_step: str
    retry: Retry = Retry.NEVER
    fix: Fix = Fix.NONE


_COMPARE = (
    "Compare `az identity federated-credential list --identity-name NAME --resource-group GROUP` with the federated "
    "token of this message, and create or correct the federated identity credential."
)
# "It takes time for the federated identity credential to be propagated":
# https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
_WAIT = " A new one takes a few minutes to work."

_ISSUER_KEYS = (
    "Check that ISSUER/.well-known/openid-configuration, and the jwks_uri in it, answer from the internet with the "
    "keys that the cluster signs with now. After a change of keys, Entra may take a while to see the new ones."
)

# Azure/AKS#4029 (a transient fault of AKS), Azure/azure-workload-identity#642 ("occasionally"), Azure/azure-cli#28863
# (an outage of an issuer). To reconcile the cluster is the advice of Azure/azure-workload-identity#955.
_KEYS_NOT_FETCHED = Explanation(
    cause="Microsoft Entra ID could not fetch the keys of the federated token's issuer. Mostly this passes.",
    next_step="Try again later. If it stays, check that ISSUER/.well-known/openid-configuration, and the jwks_uri in "
    "it, answer from the internet; on AKS, reconcile the cluster: `az aks update --name CLUSTER --resource-group "
    "GROUP`.",
    retry=Retry.TRANSIENT,
)

_OWN_TOKEN = (
    "Present the workload's own federated token: AZURE_FEDERATED_TOKEN_FILE has to name the service account token that "
    "the cluster projects."
)

_REQUEST_CHANGED = (
    "Check that the authority host is Microsoft Entra ID's (AZURE_AUTHORITY_HOST, cloud_environment), and that no "
    "proxy changes requests on the way to it."
)

_SCOPE = "as its URI followed by /.default, such as https://storage.azure.com/.default."

EXPLANATIONS = {
    # DEVOPS; Azure/azure-workload-identity#340, external-secrets/external-secrets#2783. Since the end of 2023 reports
    # have 700211, 700212 and 700213 in its place.
    "AADSTS70021": Explanation(
        cause="No federated identity credential of the managed identity matches the federated token.",
        next_step=_COMPARE + _WAIT,
        fix=Fix.CREATE_CREDENTIAL,
    ),
    # DEVOPS: "Make sure federated credentials are configured on the App registration or Managed Identity".
    "AADSTS70025": Explanation(
        cause="The managed identity has no federated identity credential at all.",
        next_step="Create one for this workload, or correct clientId if it is not the identity that you mean." + _WAIT,
        fix=Fix.CREATE_CREDENTIAL,
    ),
    # DEVOPS; Azure/azure-workload-identity#1200.
    "AADSTS700211": Explanation(
        cause="No federated identity credential of the managed identity has the federated token's issuer.",
        next_step=_COMPARE + " The issuer must match to the last character, a trailing slash included." + _WAIT,
        fix=Fix.CREATE_CREDENTIAL,
    ),
    # No report with a service account found; the audiences of the clouds:
    # https://learn.microsoft.com/graph/api/resources/federatedidentitycredential
    "AADSTS700212": Explanation(
        cause="No federated identity credential of the managed identity has the federated token's audience.",
        next_step="Project the federated token with the audience of the cloud's token exchange "
        "(api://AzureADTokenExchange in Azure's public cloud, api://AzureADTokenExchangeUSGov in US Government, "
        "api://AzureADTokenExchangeChina in China), and give the federated identity credential the same.",
        fix=Fix.CREATE_CREDENTIAL,
    ),
    # DEVOPS; kedacore/keda#8152: 22 of 1,021 exchanges with a correct credential failed so.
    "AADSTS700213": Explanation(
        cause="Most likely this workload's service account is not linked to the managed identity: none of its "
        "federated identity credentials has the federated token's subject. Entra also answers so while a credential "
        "is new, and now and then for a correct one.",
        next_step=_COMPARE + " Scheduler, triggerer and workers have a subject, and need a credential, each." + _WAIT,
        retry=Retry.ONCE,
        fix=Fix.CREATE_CREDENTIAL,
    ),
    # dotnet/dnceng#6455: what Entra says for 700213 where the identity has a flexible credential, too.
    "AADSTS7002131": Explanation(
        cause="No federated identity credential of the managed identity, flexible ones included, has the federated "
        "token's subject.",
        next_step=_COMPARE + " Flexible credentials match no service account." + _WAIT,
        fix=Fix.CREATE_CREDENTIAL,
    ),
    # Azure/login#515, Azure/login#517, for the subject; that issuer and audience are compared so, too:
    # https://learn.microsoft.com/entra/identity-platform/reference-breaking-changes (August 2024). Unverified: that
    # they get this code, too.
    "AADSTS7002138": Explanation(
        cause="A federated identity credential of the managed identity differs from the federated token in upper and "
        "lower case only. Entra compares issuer, subject and audience letter by letter.",
        next_step="Replace it: `airflow-azure-wi link ... --check` shows which one differs. Delete that one, then "
        "create it as the federated token says." + _WAIT,
        fix=Fix.CREATE_CREDENTIAL,
    ),
    # microsoft/Agents#202: tokens that Entra issues with subjects such as /eid1/c/pub/t/TENANT/a/APP/ID.
    "AADSTS7002137": Explanation(
        cause="The client assertion is a token that Microsoft Entra ID issued, and no federated identity credential "
        "has its subject.",
        next_step=_OWN_TOKEN,
    ),
    # REFERENCE; AzureAD/passport-azure-ad#453.
    "AADSTS700027": Explanation(
        cause="The federated token's signature does not fit the keys that its issuer publishes.",
        next_step=_ISSUER_KEYS,
    ),
    # Azure/azure-workload-identity#1232, Azure/azure-workload-identity#616.
    "AADSTS7000272": Explanation(
        cause="The federated token is signed with a key that its issuer does not publish.",
        next_step=_ISSUER_KEYS,
    ),
    "AADSTS50166": _KEYS_NOT_FETCHED,
    "AADSTS501661": _KEYS_NOT_FETCHED,
    # Azure/azure-workload-identity#605.
    "AADSTS90061": _KEYS_NOT_FETCHED,
    # panva/openid-client#348.
    "AADSTS50027": Explanation(
        cause="What was presented as client assertion is not a valid JSON Web Token.",
        next_step=_OWN_TOKEN,
    ),
    # MicrosoftDocs/azure-docs#90276, AzureAD/microsoft-identity-web#2519.
    "AADSTS700222": Explanation(
        cause="The client assertion is an access token that Microsoft Entra ID issued.",
        next_step=_OWN_TOKEN,
    ),
    # Azure/azure-workload-identity#1363, Azure/azure-sdk-for-net#49212.
    "AADSTS700231": Explanation(
        cause="The client assertion is an access token that was itself obtained through a federated identity "
        "credential.",
        next_step="Present the workload's own federated token: give the application a federated identity credential "
        "for the service account (`airflow-azure-wi link --application`).",
    ),
    # https://learn.microsoft.com/answers/questions/2139753/
    "AADSTS700236": Explanation(
        cause="The client assertion is a token that Microsoft Entra ID issued in another tenant.",
        next_step=_OWN_TOKEN,
    ),
    # DEVOPS: for tokens whose issuer is Entra. Unverified: that tokens of a cluster never get it.
    "AADSTS70052": Explanation(
        cause="The client assertion is a token that Microsoft Entra ID issued, and Entra accepts those only for a "
        "managed identity or for an application of a single tenant.",
        next_step=_OWN_TOKEN,
    ),
    # DEVOPS; risingwavelabs/risingwave#17123, Azure/login#180.
    "AADSTS700024": Explanation(
        cause="The federated token is outside its validity period.",
        next_step=ROTATION_ADVICE,
        retry=Retry.ONCE,
    ),
    # DEVOPS: "constrained or disabled on the Microsoft Entra tenant", and a managed identity may be exempt.
    "AADSTS700223": Explanation(
        cause="The tenant does not allow workload identity federation, or not for this application.",
        next_step="Ask the administrators of the tenant to allow it for this issuer. Where only applications are "
        "restricted, a managed identity works.",
    ),
    # DEVOPS: "The issuer for your organization isn't allowed to use workload identity federation with the workload
    # identity type (App registration and/or Managed identity) you're using".
    "AADSTS700238": Explanation(
        cause="The tenant does not allow workload identity federation with the federated token's issuer for this kind "
        "of identity.",
        next_step="Ask the administrators of the tenant to allow the issuer, or use the other kind of identity: a "
        "managed identity in the place of an application, or an application in the place of a managed identity.",
    ),
    # REFERENCE; AzureAD/microsoft-authentication-library-for-java#597.
    "AADSTS53003": Explanation(
        cause="A Conditional Access policy of the tenant blocks this sign-in.",
        next_step="Ask the administrators of the tenant which policy: the sign-in logs of service principals name it. "
        "They often allow certain networks only.",
    ),
    # REFERENCE; DEVOPS; OfficeDev/microsoft-teams-library-js#3121 (a tenant of US Government asked by the public
    # authority host).
    "AADSTS900382": Explanation(
        cause="The tenant belongs to another cloud than the authority host.",
        next_step="Set cloud_environment in the connection's extra, or AZURE_AUTHORITY_HOST, to the tenant's cloud.",
    ),
    # Azure/azure-cli#32031, https://learn.microsoft.com/answers/questions/5885880/
    "AADSTS5000225": Explanation(
        cause="The tenant is blocked because it was not in use for a long time.",
        next_step="Check that tenantId is the tenant that you mean. Its administrators can have it unblocked: "
        "https://aka.ms/TenantLifecycle.",
    ),
    # REFERENCE; DEVOPS.
    "AADSTS700016": Explanation(
        cause="The tenant has no application or managed identity with this client id.",
        next_step="Check clientId and tenantId with `az identity show --name NAME --resource-group GROUP`: clientId is "
        "neither principalId nor the object id.",
    ),
    # Azure/azure-sdk-for-net#46762, Azure/Commercial-Marketplace-SaaS-Accelerator#830.
    "AADSTS7000229": Explanation(
        cause="The application has no service principal in the tenant.",
        next_step="Create it while signed in to that tenant: `az ad sp create --id CLIENT_ID`.",
    ),
    # REFERENCE.
    "AADSTS90002": Explanation(
        cause="There is no such tenant in this cloud.",
        next_step="Check tenantId with `az identity show --name NAME --resource-group GROUP`, and that the authority "
        "host is that of the tenant's cloud.",
    ),
    # REFERENCE.
    "AADSTS7000112": Explanation(
        cause="The application is disabled in its tenant.",
        next_step="Enable it in Microsoft Entra ID under Enterprise applications > Properties, or use another "
        "identity.",
    ),
    # REFERENCE: "This can happen if the application hasn't been installed ... You might have sent your authentication
    # request to the wrong tenant."
    "AADSTS500011": Explanation(
        cause="The tenant has no service with the name that the scope begins with: the scope is misspelled, the "
        "service is not installed in this tenant, or the connection names the wrong tenant.",
        next_step="Check the scope for typing errors: it is the service's URI followed by /.default, such as "
        "https://storage.azure.com/.default. Then check tenantId.",
    ),
    # REFERENCE.
    "AADSTS70011": Explanation(
        cause="The scope is malformed.",
        next_step=f"Ask for one service a call, {_SCOPE}",
    ),
    # MicrosoftDocs/azure-docs#99862, microsoftgraph/msgraph-sdk-python#181.
    "AADSTS1002012": Explanation(
        cause="The scope does not end in /.default, the only kind that a workload can ask for.",
        next_step=f"Ask for the service {_SCOPE}",
    ),
    # REFERENCE.
    "AADSTS70003": Explanation(
        cause="The request asked for a token in a way that the authority host does not support.",
        next_step=_REQUEST_CHANGED,
    ),
    # REFERENCE.
    "AADSTS7000218": Explanation(
        cause="The request arrived without a client assertion.",
        next_step=_REQUEST_CHANGED,
    ),
    # REFERENCE.
    "AADSTS900144": Explanation(
        cause="The request arrived without a parameter, which the answer names.",
        next_step=_REQUEST_CHANGED,
    ),
    # REFERENCE.
    "AADSTS9002313": Explanation(
        cause="The request arrived malformed.",
        next_step=_REQUEST_CHANGED,
    ),
    # REFERENCE; DEVOPS.
    "AADSTS7000215": Explanation(
        cause="The client secret is wrong. Only a developer's sign-in with AZURE_CLIENT_SECRET uses one.",
        next_step="Set AZURE_CLIENT_SECRET to the value of the secret, not to its id, or set development_credential to "
        "azure_cli.",
    ),
    # Unverified: neither in REFERENCE nor in a report that names a client credential flow. That it is throttling, with
    # HTTP 429, is what clients of Entra take it for.
    "AADSTS90025": Explanation(
        cause="Microsoft Entra ID throttled the request: too many exchanges at once.",
        next_step="Try again later. Let fewer tasks start at once, or set token_cache = disk, so that the tasks of a "
        "machine share one exchange.",
        retry=Retry.TRANSIENT,
    ),
    # REFERENCE; Azure/azure-sdk-for-python#14241 (HTTP 503).
    "AADSTS90033": Explanation(
        cause="A service that Microsoft Entra ID depends on is not available.",
        next_step="Try again later; if it stays, see https://status.azure.com.",
        retry=Retry.TRANSIENT,
    ),
}


def entra_error_code(message: str) -> str | None:
    """Return the first AADSTS code in a message of Microsoft Entra ID, or None.

    :param message: the text of an exception or of the ``error_description`` of a token response.
    """
    found = re.search(r"AADSTS\d+", message)
    return found.group() if found else None


OUTSIDE_ITS_VALIDITY_PERIOD = "AADSTS700024"

_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_CHECK_AUTHORITY_HOST = (
    "check that the authority host is Microsoft Entra ID's (AZURE_AUTHORITY_HOST, cloud_environment), and that no "
    "proxy answers in its place."
)


class Kind(Enum):
    """How far a token request got."""

    UNREACHABLE = "the authority host could not be reached"
    NOT_SENT = "azure-identity could not send it"
    REFUSED = "the answer is an error"
    INVALID = "the answer is an invalid token response"


@dataclass(frozen=True)
class Failure:
    """Why a token request gave no access token. It holds no token and no exception, whose frames would hold one.

    :param answer: what was answered, or why nothing was; safe to show.
    :param code: the AADSTS code, or None.
    :param status: the HTTP status, or None where nothing was answered.
    :param retry_after: the header of that name, or None.
    """

    kind: Kind
    answer: str
    code: str | None = None
    status: int | None = None
    retry_after: str | None = None

    @property
    def label(self) -> str:
        """A short name for it in metrics, of which there are few: a server cannot invent one."""
        if self.code is not None:
            return self.code if self.code in EXPLANATIONS else "AADSTS_other"
        return self.kind.name.lower() if self.status is None else f"http_{self.status}"

    @property
    def retry(self) -> Retry:
        """Whether another attempt may help."""
        if self.kind is Kind.UNREACHABLE or self.status in _TRANSIENT_STATUSES:
            return Retry.TRANSIENT
        known = EXPLANATIONS.get(self.code or "")
        return known.retry if known else Retry.NEVER

    def seconds_to_wait(self, pause: float) -> float:
        """Return how long to wait before another attempt: what the server says, or else a pause."""
        try:
            asked = float(self.retry_after or pause)
        except ValueError:
            return pause
        return pause if math.isnan(asked) else max(asked, 0.0)

    def explain(self, authority_host: str, attempts: int) -> Explanation:
        """Return what it means.

        :param authority_host: where the request was sent.
        :param attempts: how many were made.
        """
        if self.kind is Kind.UNREACHABLE:
            tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            return Explanation(
                f"the authority host {authority_host} could not be reached, after {tries}.",
                "check DNS, firewall and proxy (HTTPS_PROXY) from where the task runs; behind a TLS-inspecting proxy, "
                "set REQUESTS_CA_BUNDLE to its certificate authority.",
            )
        if self.kind is Kind.NOT_SENT:
            return Explanation(
                "azure-identity could not send the token request.",
                "check what it takes from the environment: HTTPS_PROXY, REQUESTS_CA_BUNDLE, and the AZURE_KUBERNETES_ "
                "variables of identity bindings. What it found is below.",
            )
        return EXPLANATIONS.get(self.code or "") or self._unknown()

    def _unknown(self) -> Explanation:
        """Return what an answer means whose code says nothing, or that has none."""
        refused = f"Microsoft Entra ID refused the request (HTTP {self.status})."
        if self.status == 429:
            wait = f", and asks to wait {excerpt(self.retry_after)} s" if self.retry_after else ""
            return Explanation(
                f"Microsoft Entra ID throttled the request (HTTP 429){wait}.",
                f"let the task be retried later. {option_name('token_cache')} = disk lets the tasks of a machine share "
                "one exchange.",
            )
        if self.status is not None and (self.status in _TRANSIENT_STATUSES or self.status >= 500):
            return Explanation(
                f"Microsoft Entra ID returned a server error (HTTP {self.status}).",
                "let the task be retried later; if it stays, see https://status.azure.com.",
            )
        if self.code:
            number = self.code.removeprefix("AADSTS")
            where = f"https://login.microsoftonline.com/error?code={number}"
            return Explanation(refused, f"look the code up at {where}.")
        if self.kind is Kind.REFUSED:
            return Explanation(refused, _CHECK_AUTHORITY_HOST)
        return Explanation("Microsoft Entra ID returned an invalid token response.", _CHECK_AUTHORITY_HOST)
