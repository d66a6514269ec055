"""The texts that are composed at start are those the settings describe."""

import pytest

from otpservice.config.settings import Settings
from otpservice.web.api.messages import Templates


@pytest.fixture
def settings(environment, tmp_path):
    apps = tmp_path / "apps.toml"
    key = "0" * 63
    apps.write_text(
        f'[apps.a]\nkey_sha256 = ["{key}1"]\nmessage.fr = "A ##OTP##"\nmessage.pt = "P ##OTP##"\n'
        f'[apps.b]\nkey_sha256 = ["{key}2"]\nmessage.en = "B ##OTP##"\nbrand = "Bee"\n'
    )
    own = {"OTPSERVICE_APPS_FILE": str(apps), "OTPSERVICE_MESSAGE": "##BRAND## ##OTP##"}
    return Settings.from_env({**environment, **own})


@pytest.mark.parametrize("locale", [None, "fr", "FR_ci", "en-GB", "pt", "sw", ""])
def test_the_text_is_the_settings_own_for_any_locale(settings, locale):
    templates = Templates(settings)
    for app in settings.apps:
        assert templates.text_for(app, locale) == settings.template_for(app, locale)


def test_an_app_with_a_text_of_a_language_is_sent_it(settings):
    texts = {app.name: Templates(settings).text_for(app, "pt-BR") for app in settings.apps}
    assert texts == {"a": "P ##OTP##", "b": "Bee ##OTP##"}
