"""The webhook by which an MLflow server tells the reconciler that an alias has changed.

It is a hint: delivery is in memory and tried a few times, and a client that writes the database itself
sends none. What is right is found by comparing, which the reconciler also does on a timer.
"""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities.webhook import Webhook, WebhookEvent, WebhookEventStr, WebhookStatus

from astroreel.tracking.store import mlflow_errors

_NAME = "astroreel-reconciler"
_EVENTS: list[WebhookEventStr | WebhookEvent] = [
    "model_version_alias.created",
    "model_version_alias.deleted",
]


def ensure_webhook(client: MlflowClient, url: str, secret: str) -> None:
    """Let the server tell ``url`` of every alias that is set or deleted, signed with ``secret``.

    There is one such webhook a server: one that is there already gets this address and secret.

    Raises
    ------
    UserError
        Where the server refuses: the client's user is no admin, or the address is not allowed.
    """
    with mlflow_errors(client.tracking_uri):
        known = _find(client)
        if known is None:
            client.create_webhook(_NAME, url, _EVENTS, secret=secret)
        else:
            client.update_webhook(
                known.webhook_id, url=url, events=_EVENTS, secret=secret, status=WebhookStatus.ACTIVE
            )


def _find(client: MlflowClient) -> Webhook | None:
    token = None
    while True:
        page = client.list_webhooks(page_token=token)
        for webhook in page:
            if webhook.name == _NAME:
                return webhook
        if not (token := page.token):
            return None
