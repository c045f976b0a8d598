"""What every https URL that the package is given has to be, wherever it comes from."""

from urllib.parse import SplitResult, urlsplit

# Instead of what requests says, which is a part of the password where there is a slash in it.
PROXY_CANNOT_BE_PARSED = (
    "the URL of the proxy in HTTPS_PROXY cannot be parsed: expected http://USER:PASSWORD@HOST:PORT, with each of "
    "/ ? # @ : % in user and password percent-encoded"
)


def split_https_url(text: str) -> SplitResult | None:
    """Return the parts of an https URL of a host; None for anything else.

    A user or password in it, a port that is not a number and white space make it something else. Whether a path, a
    query or a fragment may follow the host is for the caller to say.
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError where it is not a number
    except ValueError:
        return None
    is_plain = bool(parts.hostname) and "@" not in parts.netloc and not any(map(str.isspace, text))
    return parts if parts.scheme == "https" and is_plain else None
