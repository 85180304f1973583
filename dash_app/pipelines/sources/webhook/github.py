"""GitHub's webhooks: `X-Hub-Signature-256`, and `X-GitHub-Delivery` as the id of a delivery.

GitHub signs the body alone: the id and the event's name in `X-GitHub-Event` are not covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dash_app.domain.errors import BadSignature
from dash_app.pipelines.sources.webhook.base import SignatureScheme, Snippet, check, key_of, mac, shown_delivery, wanted

_HEADER = "x-hub-signature-256"
_PREFIX = "sha256="


class GitHub(SignatureScheme):
    kind = "github"
    title = "GitHub"
    summary = "GitHub, Gitea and Forgejo: HMAC-SHA256 of the body in X-Hub-Signature-256."

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        given = wanted(headers, _HEADER)
        if not given.startswith(_PREFIX):
            raise BadSignature(f"header {_HEADER} does not begin with {_PREFIX}")
        try:
            signature = bytes.fromhex(given.removeprefix(_PREFIX))
        except ValueError:
            raise BadSignature(f"header {_HEADER} is not hexadecimal") from None
        check([signature], [mac(key_of(secret), body) for secret in secrets if secret])

    def delivery_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        return shown_delivery(headers.get("x-github-delivery", ""))

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        return {
            "X-Hub-Signature-256": _PREFIX + mac(secret.encode(), body).hex(),
            "X-GitHub-Delivery": delivery,
            "X-GitHub-Event": "ping",
        }

    def shell_snippet(self) -> Snippet:
        return Snippet(
            (
                'id="$(openssl rand -hex 16)"',
                'signature="$(printf %s "$body" | openssl dgst -sha256 -hmac "$secret" | sed "s/^.* //")"',
            ),
            (
                ("X-Hub-Signature-256", "sha256=$signature"),
                ("X-GitHub-Delivery", "$id"),
                ("X-GitHub-Event", "ping"),
            ),
        )

    def code_snippet(self) -> Snippet:
        return Snippet(
            ("signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()",),
            (
                ("X-Hub-Signature-256", "'sha256=' + signature"),
                ("X-GitHub-Delivery", "secrets.token_hex(16)"),
                ("X-GitHub-Event", "'ping'"),
            ),
        )

    def node_snippet(self) -> Snippet:
        return Snippet(
            ('const signature = createHmac("sha256", secret).update(body).digest("hex");',),
            (
                ("X-Hub-Signature-256", '"sha256=" + signature'),
                ("X-GitHub-Delivery", "randomUUID()"),
                ("X-GitHub-Event", '"ping"'),
            ),
        )
