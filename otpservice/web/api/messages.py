"""The texts of all SMS, composed once at start."""

from otpservice.config.apps import App
from otpservice.config.settings import Settings


class Templates:
    """The text of an SMS by app and language, with ``##OTP##`` where the code goes.

    Args:
        settings: the apps and the wordings.
    """

    def __init__(self, settings: Settings) -> None:
        self._language_for = settings.language_for
        self._texts = {
            (app.name, language): settings.template_for(app, language)
            for app in settings.apps
            for language in settings.languages_for(app)
        }

    def text_for(self, app: App, locale: str | None) -> str:
        """The text for an app's caller who asks for ``locale``."""
        return self._texts[app.name, self._language_for(app, locale)]
