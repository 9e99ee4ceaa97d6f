"""The file of the simulated SMS gateway, and two providers of SMS behind one outbox."""

from collections.abc import Mapping
from pathlib import Path

from notify.failover import Provider, Providers
from notify.gateway import GatewaySms
from notify.gateway_file import Gateway, load_gateway
from notify.sms import Sms
from prevenant.tables import add_timeline
from simulators.sms_gateway import SmsGateway
from tests.contracts.patience import give_up_at_once
from tests.contracts.rig import Rig

SECRET = "receipts of the gateway"
FILE = """
send:
  url: URL
  body: json
  headers: {Authorization: env:SMS_KEY}
  timeout: 20s
  fields:
    to: "{to}"
    from: "{from}"
    reference: "{key}"
    callback: "{receipts}"
    message: {text: "{text}", encoding: "{encoding}"}
from: Prevenant
senders: US=+15005550006
answer:
  {id: message.id, code: code, taken: 0, later: 11, wrong_address: [21, 22], opted_out: 31, account: 41}
receipts:
  secret: env:SMS_SECRET
  id: id
  state: status
  sent: sent
  delivered: [delivered, DELIVRD]
  failed: [failed, expired]
  reason: reason
replies: {secret: env:SMS_SECRET, from: msisdn, text: text, id: id}
"""
ENVIRONMENT = {"SMS_KEY": "gateway-key", "SMS_SECRET": SECRET}


def describe(gateway: SmsGateway, folder: Path) -> Path:
    """Write the file that describes a gateway."""
    path = folder / "sms-gateway.yaml"
    path.write_text(FILE.replace("URL", gateway.url), "utf-8")
    return path


def read(gateway: SmsGateway, folder: Path) -> Gateway:
    """Return what that file says."""
    found = load_gateway(describe(gateway, folder), ENVIRONMENT)
    assert found is not None
    return found


def make_sms(gateway: SmsGateway, folder: Path, public_url: str = "") -> GatewaySms:
    """Return the channel that sends by a gateway."""
    sms = GatewaySms(read(gateway, folder), public_url)
    give_up_at_once(gateway, "withhold", sms._session)
    return sms


def use_both(rig: Rig, gateway: GatewaySms, first: str = "twilio") -> None:
    """Let the rig send by Twilio and by the gateway."""
    twilio = rig.channels["sms"]
    assert isinstance(twilio, Sms)
    both: dict[str, Provider] = {"twilio": twilio, "gateway": gateway}
    ordered = {first: both.pop(first), **both}

    def tell(kind: str, words: str, detail: Mapping[str, object]) -> None:
        with rig.store.write() as session:
            add_timeline(session, rig.clock.now(), kind, words, detail=dict(detail))

    rig.channels["sms"] = Providers("sms", ordered, rig.clock, tell)
