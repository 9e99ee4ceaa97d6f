"""amqtt as a broker in a process of its own: `python -m simulators.amqtt_broker PORT`."""

import asyncio
import sys

from amqtt.broker import Broker


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until the process is ended."""
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(config)
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
