"""Where API, webhooks and console are served: the address of a process, and what answers there."""

import socket

from ingest.past import JournalPast, Past
from notify import Templates
from prevenant.access.tokens import ensure_admin_token
from prevenant.api.history import Histories
from prevenant.api.intake import Intake
from prevenant.api.live_readings import LiveReadings
from prevenant.api.server import Services, make_api
from prevenant.clock import Clock
from prevenant.console.pages import add_console
from prevenant.health import Health, Steady, Watched
from prevenant.serving import Server, bind
from prevenant.settings import Settings
from prevenant.store import Store
from rules.book import RuleBook


class Website(Server):
    """API, webhooks and console of one process, behind a port that it has bound already."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        store: Store,
        clock: Clock,
        templates: Templates,
        rules: RuleBook | None = None,
        past: Past | None = None,
    ) -> None:
        """Prepare. A token that is made is shown once, so nothing that may be wrong comes after this."""
        self.settings = settings
        self._app = make_api(Services(settings, store, clock, templates))
        self._app.state.rules = rules or RuleBook({}, {})
        self._app.state.intake = None
        self._past = past or JournalPast(settings.journal)
        self._app.state.past = self._past
        self._app.state.histories = Histories(self._past)
        self._app.state.live_readings = LiveReadings(store, self._past)
        self.show(Steady(Health("console", clock.now())))
        add_console(self._app)
        super().__init__(self._app, listener)
        self.new_admin_token = ensure_admin_token(
            store, settings.admin_token.get_secret_value(), clock.now()
        )

    def show(self, process: Watched) -> None:
        """Let `/readyz`, `/metrics` and the page of settings say how this process is."""
        self._app.state.process = process

    def take_readings(self, intake: Intake) -> None:
        """Let readings be posted: what decides on them is in this process."""
        self._app.state.intake = intake

    def change_book(self, templates: Templates, rules: RuleBook) -> None:
        """Let answers go by the texts of a book that takes over, and pictures by its rules."""
        self._app.state.templates = templates
        self._app.state.rules = rules

    def stop(self) -> None:
        """End `run`, and every open stream."""
        super().stop()
        self._app.state.live.close()
        self._app.state.live_readings.close()
        self._app.state.link_news.close()
        self._past.close()


def bind_pages(settings: Settings) -> socket.socket:
    """Take the address of API and console. Raises SettingsError where another has it."""
    return bind(settings.http, "PREVENANT_HTTP")
