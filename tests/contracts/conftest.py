"""The rig of the contract suite."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from notify.delivery import Channel
from notify.email import Email
from notify.sms import Sms, TwilioAccount
from notify.voice import Voice
from prevenant.settings import Settings
from prevenant.store import Store
from simulators.carrier import Carrier
from simulators.mailbox import Mailbox
from tests.contracts.patience import give_up_twilio_at_once
from tests.contracts.rig import Rig, running
from tests.moved_clock import MovedClock


@pytest.fixture
def rig(
    sqlite_url: str,
    clock: MovedClock,
    carrier: Carrier,
    mailbox: Mailbox,
) -> Iterator[Rig]:
    """Run an outbox with all channels; receipts do not reach it."""
    store = Store(sqlite_url)
    store.upgrade()
    settings = Settings(
        twilio_account_sid=carrier.account,
        twilio_auth_token=SecretStr(carrier.token),
        twilio_from="+33939980000",
        twilio_base_url=carrier.url,
        smtp_url=SecretStr(f"smtp://127.0.0.1:{mailbox.port}"),
        email_from="service@prevenant.example",
    )
    account = TwilioAccount(settings)
    give_up_twilio_at_once(carrier, account)
    channels: dict[str, Channel] = {
        "sms": Sms(account),
        "voice": Voice(account),
        "email": Email(settings),
    }
    rig = Rig(store, clock, carrier, mailbox, channels, settings)
    with running(rig):
        yield rig
    store.close()
