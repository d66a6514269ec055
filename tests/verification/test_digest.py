"""What stands in Redis in place of phones and codes."""

import hmac
import re
from base64 import urlsafe_b64encode

from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.phone import PhoneNumber

NEW, OLD = b"n" * 32, b"o" * 32
PHONE = PhoneNumber("+2250709000001")


def test_digests_depend_on_the_secret_and_on_what_they_stand_for():
    one, other = Digester([NEW]), Digester([OLD])
    assert one.phones(PHONE) != other.phones(PHONE)
    assert one.phones(PHONE) != one.phones(PhoneNumber("+2250709000002"))
    assert one.codes(Code("123456"), "aaaa") != one.codes(Code("123456"), "bbbb")
    assert one.bucket("id", "x") != one.bucket("phone", "x")


def test_the_newest_secret_comes_first_and_the_older_is_kept():
    both = Digester([NEW, OLD])
    assert both.phones(PHONE) == Digester([NEW]).phones(PHONE) + Digester([OLD]).phones(PHONE)
    assert both.bucket("id", "x") == Digester([NEW]).bucket("id", "x")


def test_a_tag_is_four_hex_digits():
    (digest,) = Digester([NEW]).phones(PHONE)
    assert len(digest.tag) == 4
    assert int(digest.tag, 16) >= 0
    assert re.fullmatch(r"[A-Za-z0-9_-]{20}", digest.name)


def test_a_digest_is_hmac_sha256_cut_off():
    whole = hmac.digest(b"key", b"bucket:id\0caf\xc3\xa9", "sha256")
    assert Digester([b"key"]).bucket("id", "caf\xe9") == urlsafe_b64encode(whole[:18]).decode()
