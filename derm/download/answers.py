"""How the downloads speak HTTP, and what a failed answer means in a few words."""

import json
import re

import requests
import urllib3

# Harvard's Dataverse refuses the name that `requests` gives itself (IQSS/dataverse.harvard.edu #479). `identity`: the
# bytes as they are stored, so that a place in the answer is a place in the file.
HEADERS = {"User-Agent": "derm-download/1.0 (python -m derm download)", "Accept-Encoding": "identity"}
# Seconds until a connection stands, and without a single byte.
TIMEOUT = (20.0, 60.0)
LENGTH = 200


def reason(error: Exception) -> str:
    """The innermost words of an error of requests or urllib3, which wrap it in several layers."""
    text = (str(error).splitlines() or [""])[0].rsplit(": ", 1)[-1]
    # What follows a closing quotation mark is another layer's.
    return re.split(r"['\"]\s*[,)]", text)[0].rstrip(".")[:LENGTH] or type(error).__name__


def refusal(response: requests.Response) -> str:
    """The status, and the message that Dataverse gives as JSON, on one line. The response must be open."""
    status = f"the answer is {response.status_code} {response.reason or ''}".rstrip()
    try:
        message = json.loads(response.raw.read(10_000, decode_content=True)).get("message", "")
    except (ValueError, AttributeError, urllib3.exceptions.HTTPError):
        return status
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in str(message)).split())
    return f"{status}: {words[:LENGTH]}" if words else status
