"""Incoming SMS: kept once, masked, and STOP heeded, over fakeredis and over a real Valkey."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest

from otpservice.store.client import connect
from otpservice.store.inbound import RedisInbound
from otpservice.store.scripts import Scripts
from otpservice.vavasms import VavasmsClient
from otpservice.verification.digest import Digester
from otpservice.verification.errors import StoreUnavailable
from otpservice.verification.inbound import (
    Inbound,
    InboundSms,
    UnreadableSms,
    Wish,
    mask_digits,
    wish_of,
)
from otpservice.verification.phone import PhoneNumber
from tests.conftest import SECRET

DAY = 86_400_000
PHONE = "+2250709000001"
OLDER = b"an older secret key with more than 32 bytes"


class Box:
    """The store and what the provider delivers into it."""

    def __init__(self, redis, *secrets):
        self.scripts = Scripts(redis)
        self.store = RedisInbound(self.scripts, Digester(secrets or [SECRET]))
        self.inbound = Inbound(self.store, VavasmsClient.parse_incoming, region="CI")

    def deliver(self, message_id, content="Bonjour", sender=PHONE, **more):
        fields = {"message_id": message_id, "form": sender, "content": content, **more}
        return self.inbound.receive(fields)


@pytest.fixture
def box(redis):
    return Box(redis)


def sms(message_id):
    return InboundSms(message_id, "+225********01", "Bonjour", "")


def opt_out_key(redis):
    (key,) = redis.keys("otp:*:o:*")
    return key


@pytest.mark.parametrize(
    "text", ["STOP", "stop", " Stop \n", "ARRET", "arrêt", "\u00a0ARRÊT", "ARRE\u0302T"]
)
def test_a_stop_in_any_spelling_opts_out(box, phone, text):
    assert box.deliver("SM-1", text).wish is Wish.STOP
    assert box.store.opted_out(phone)


@pytest.mark.parametrize(
    "text", ["STOP SMS", "Ne stop pas", "STOPP", "S T O P", "NON", "", "123456", "ARRÈT"]
)
def test_nothing_else_is_a_stop(box, phone, text):
    assert box.deliver("SM-1", text).wish is None
    assert not box.store.opted_out(phone)


@pytest.mark.parametrize("text", ["START", "oui", " Oui "])
def test_start_and_oui_lift_it(box, phone, text):
    box.deliver("SM-1", "STOP")
    box.deliver("SM-2", text)
    assert not box.store.opted_out(phone)
    box.deliver("SM-3", "ARRET")
    assert box.store.opted_out(phone)


def test_accents_written_apart_are_accents():
    assert wish_of(unicodedata.normalize("NFD", "arrêt")) is Wish.STOP


@pytest.mark.parametrize(
    "sender", [PHONE, "2250709000001", " 2250709000001", "00225 07 09 00 00 01", "0709000001"]
)
def test_the_sender_is_one_phone_in_any_spelling(box, phone, sender):
    box.deliver("SM-1", "STOP", sender=sender)
    assert box.store.opted_out(phone)
    assert [held.sender for held in box.store.recent(5)] == [phone.masked]


@pytest.mark.parametrize("sender", ["36000", "Orange", "22509000001", "+225 27 20 00 00 01"])
def test_a_sender_nothing_can_be_sent_to_is_kept_and_opts_nobody_out(box, redis, sender):
    assert box.deliver("SM-1", "STOP", sender=sender).phone is None
    assert redis.keys("otp:*:o:*") == []
    (held,) = box.store.recent(1)
    assert held.wish is Wish.STOP
    assert sum(character.isdigit() for character in held.sender) == 0


def test_another_phone_is_not_opted_out(box):
    box.deliver("SM-1", "STOP")
    assert not box.store.opted_out(PhoneNumber.parse("+2250709000002", region="CI"))


def test_a_message_delivered_again_does_nothing_again(box, phone):
    assert box.deliver("SM-1", "STOP").new
    box.deliver("SM-2", "START")
    assert not box.deliver("SM-1", "STOP").new
    assert not box.store.opted_out(phone)
    assert len(box.store.recent(5)) == 2


@pytest.mark.parametrize(
    ("text", "sender"), [("STOP", PHONE), ("STOP", "+2250709000002"), ("Bonjour", "Orange")]
)
def test_an_id_that_was_another_message_s_counts_no_second_time(box, redis, text, sender):
    box.deliver("SM-1", "Salut")
    assert not box.deliver("SM-1", text, sender=sender).new
    assert redis.keys("otp:*:o:*") == []
    assert [held.text for held in box.store.recent(5)] == ["Salut"]


def test_of_many_equal_deliveries_at_once_one_counts(valkey):
    box = Box(valkey)
    with ThreadPoolExecutor(8) as pool:
        received = list(pool.map(lambda _: box.deliver("SM-1"), range(24)))
    assert sum(one.new for one in received) == 1
    assert len(box.store.recent(50)) == 1


def test_a_stop_that_was_cut_off_half_way_is_finished_by_its_next_delivery(box, phone, redis):
    box.deliver("SM-1", "STOP")
    for key in redis.keys("otp:*:[om]:*"):  # the second step, undone
        if b"{inbox}" not in key:
            redis.delete(key)
    assert not box.store.opted_out(phone)
    box.deliver("SM-1", "STOP")
    assert box.store.opted_out(phone)
    assert len(box.store.recent(5)) == 1


def test_an_id_is_remembered_for_a_week(box, redis):
    box.deliver("SM-1", "STOP")
    for key in redis.keys("otp:*:m:*"):
        assert 6 * DAY < redis.pttl(key) <= 7 * DAY


def test_an_opt_out_lasts_400_days_and_asking_renews_it(box, phone, redis):
    box.deliver("SM-1", "STOP")
    assert 399 * DAY < redis.pttl(opt_out_key(redis)) <= 400 * DAY
    redis.pexpire(opt_out_key(redis), DAY)
    assert box.store.opted_out(phone)
    assert 399 * DAY < redis.pttl(opt_out_key(redis)) <= 400 * DAY


def test_every_key_is_born_with_its_expiry(box, redis, phone):
    box.deliver("SM-1", "STOP")
    box.deliver("SM-2", "Bonjour", sender="Orange")
    box.store.opted_out(phone)
    assert len(redis.keys()) == 5
    assert all(redis.ttl(key) > 0 for key in redis.scan_iter())


def test_an_opt_out_is_found_after_the_secret_changed_and_lifted_under_both(redis, phone):
    Box(redis, OLDER).deliver("SM-1", "STOP")
    both = Box(redis, SECRET, OLDER)
    assert both.store.opted_out(phone)
    both.deliver("SM-2", "START")
    assert not both.store.opted_out(phone)
    both.deliver("SM-3", "STOP")
    assert Box(redis, SECRET).store.opted_out(phone)


def test_what_is_kept_is_newest_first_with_all_its_facts(box):
    box.deliver("SM-1", sms_date="2026-11-22 16:00:00")
    box.deliver("SM-2", "STOP")
    second, first = box.store.recent(5)
    assert (first.message_id, first.text, first.wish) == ("SM-1", "Bonjour", None)
    assert first.sms_date == "2026-11-22 16:00:00"
    assert (second.wish, second.received_at >= first.received_at) == (Wish.STOP, True)
    assert box.store.recent(1) == [second]
    assert box.store.recent(0) == []


def test_only_about_the_last_thousand_texts_are_kept(valkey):
    box = Box(valkey)
    for n in range(1250):
        box.store.keep(sms(f"SM-{n}"), None)
    assert 1000 <= len(box.store.recent(2000)) < 1200
    assert box.store.recent(1)[0].message_id == "SM-1249"


def test_texts_are_forgotten_after_30_days(box, redis):
    box.deliver("SM-1")
    assert 29 * DAY < redis.pttl("otp:{inbox}:texts") <= 30 * DAY
    box.scripts.clock_offset = 31 * DAY
    box.deliver("SM-2")  # its own id is of the server's time, so it goes as well
    assert "SM-1" not in {held.message_id for held in box.store.recent(5)}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Code 123456 merci", "Code ****** merci"),
        ("le 123 et le 12", "le 123 et le 12"),
        ("1234", "****"),
        ("12 34 56", "** ** **"),
        ("123-456", "***-***"),
        ("1\u200b2\u200b3\u200b4", "*\u200b*\u200b*\u200b*"),
        ("٣٣٣٣", "****"),
        ("\uff11\uff12\uff13\uff14", "****"),
        ("①②③④", "****"),
        ("1\ufe0f\u20e32\ufe0f\u20e33\ufe0f\u20e34", "*\ufe0f\u20e3*\ufe0f\u20e3*\ufe0f\u20e3*"),
        ("RDV 14h30", "RDV 14h30"),
        ("à 14:30", "à 14:30"),
        ("+225 07 09 00 00 01", "+*** ** ** ** ** **"),
    ],
)
def test_runs_of_four_digits_are_masked(text, masked):
    assert mask_digits(text) == masked


def test_no_number_and_no_code_is_in_redis(box, redis):
    box.deliver("SM-1", "mon code 482913, tel 07 09 00 00 01", sms_date="+2250709000001")
    box.deliver("SM-2", "STOP", sender="22509000001")
    texts = [str(redis.xrange("otp:{inbox}:texts"))]
    others = [key for key in redis.scan_iter() if key != b"otp:{inbox}:texts"]
    held = " ".join(texts + [f"{key} {redis.get(key)}" for key in others])
    assert "mon code" in held
    assert not any(digits in held for digits in ("482913", "09000001", "09 00 00"))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"message_id": "SM-1", "content": "STOP"},
        {"form": PHONE, "content": "STOP"},
        {"message_id": " ", "form": PHONE},
    ],
)
def test_what_has_no_id_or_no_sender_is_refused_and_not_kept(box, redis, fields):
    with pytest.raises(UnreadableSms):
        box.inbound.receive(fields)
    assert redis.keys() == []


def test_half_characters_do_no_harm(box):
    assert box.deliver("SM-\ud800", "STOP \ud83d", sender="\udfff").new
    assert box.store.recent(1)[0].text == "STOP ?"


def test_without_redis_nothing_is_kept():
    with pytest.raises(StoreUnavailable):
        Box(connect("redis://127.0.0.1:1/0")).deliver("SM-1", "STOP")
