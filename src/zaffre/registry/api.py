# SPDX-License-Identifier: Apache-2.0
"""Whether a registry lists the referrers of an image by itself: one question, which skopeo cannot ask.

Source: OCI distribution specification 1.1, "Listing Referrers", and distribution's token flow ("Token Authentication
Specification"). Only a plain yes counts. Whoever can't be asked is taken for one that does not, which costs a tag.
"""

from __future__ import annotations

import json
import re
import ssl
from pathlib import Path
from urllib.parse import quote

import httpx

from zaffre.oci import INDEX
from zaffre.registry.reference import Reference

_SECONDS = 10.0
_MOST_TOKEN = 64 << 10
_CHALLENGE = re.compile(r'([a-z]+)="([^"]*)"')


def lists_referrers(
    reference: Reference, digest: str, *, plain_http: bool, authorities: Path, credentials: str | None
) -> bool:
    """`credentials` is base64 of user and password, as auth files have it; `authorities` are certificates (PEM)."""
    if plain_http:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=str(authorities))
    path = f"{reference.registry}/v2/{reference.name}/referrers/{digest}"
    with httpx.Client(verify=context, timeout=_SECONDS) as client:
        for scheme in ("https", "http") if plain_http else ("https",):
            try:
                return _lists(client, f"{scheme}://{path}", reference.name, credentials)
            except (httpx.HTTPError, ValueError, RecursionError):
                continue
    return False


def _lists(client: httpx.Client, url: str, name: str, credentials: str | None) -> bool:
    """Only heads of answers are read, and a token: nobody can send more than is wanted."""
    basic = {"Authorization": f"Basic {credentials}"} if credentials else {}
    head = _head(client, url, basic)
    if head.status_code == httpx.codes.UNAUTHORIZED and (token := _token(client, head, name, basic)):
        head = _head(client, url, {"Authorization": f"Bearer {token}"})
    kind = head.headers.get("Content-Type", "").partition(";")[0].strip()
    return head.status_code == httpx.codes.OK and kind == INDEX


def _head(client: httpx.Client, url: str, headers: dict[str, str]) -> httpx.Response:
    with client.stream("GET", url, headers=headers) as answer:
        return answer


def _token(client: httpx.Client, answer: httpx.Response, name: str, basic: dict[str, str]) -> str | None:
    kind, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
    said = dict(_CHALLENGE.findall(rest))
    realm = said.get("realm", "")
    if kind.lower() != "bearer" or not realm.startswith(f"{answer.request.url.scheme}://"):
        return None  # a password is not sent by a lesser way than it was asked by
    asked = f"{realm}?service={quote(said.get('service', ''))}&scope={quote(f'repository:{name}:pull')}"
    with client.stream("GET", asked, headers=basic) as given:
        data = b""
        for chunk in given.iter_bytes(_MOST_TOKEN):
            data += chunk
            if len(data) > _MOST_TOKEN:
                return None
    value = json.loads(data) if given.status_code == httpx.codes.OK else None
    token = value.get("token") or value.get("access_token") if isinstance(value, dict) else None
    return token if isinstance(token, str) else None
