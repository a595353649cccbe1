"""What the name of a field says about its value and the fields in it, rule by rule."""

import os
import subprocess
import sys

import pytest

from twite.redaction.vocabulary import (
    LONGEST_NAME,
    FieldContext,
    FieldKind,
    is_about_people,
    is_digest_key,
    is_harmless_header,
    is_harmless_parameter,
    is_well_known,
    kind_of,
    kind_of_name,
    may_name_a_phone,
    person_in,
    plain,
    promises_secret,
)

EVENT, PERSON, THINGS = FieldContext
EMAIL, PHONE, NAME = FieldKind.EMAIL, FieldKind.PHONE, FieldKind.NAME


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("email", EMAIL), ("email2", EMAIL), ("sha256_email", EMAIL), ("email_sha256", EMAIL),
        ("email_confirm", EMAIL), ("confirm_email", EMAIL), ("hashed_phone_number", PHONE),
        ("custPhone", PHONE), ("phoneCustomer", PHONE), ("customer_phone_number", PHONE),
        ("mobile_no", PHONE), ("cell_nr", PHONE), ("tel.nr", PHONE), ("tel[nr]", PHONE),
        ("Prénom", NAME), ("first_name_hash", NAME), ("name_of_user", NAME), ("customer_fn", NAME),
        ("new_customer_fn", NAME), ("passenger1LastName", NAME), ("x_date_of_birth", NAME),
        ("my_phones", PHONE), ("ご連絡先", PHONE), ("customer姓", NAME), ("zz9_dob", NAME),
        ("x" * LONGEST_NAME + ".email", EMAIL),
    ],
)  # fmt: skip
@pytest.mark.parametrize("among", FieldContext)
def test_unambiguous_name_of_personal_data_is_recognized_everywhere(name, kind, among):
    assert kind_of_name(name, among)[0] is person_in(name, among) is kind


@pytest.mark.parametrize(
    "name",
    [
        "number", "nr", "2", "x.sha256", "date_of_birth_x", "new_fn", "a_b_c_fn", "product",
        "work_home_my_other_email", "email.x", "", "new_mobile", "other_cell",
    ],
)  # fmt: skip
@pytest.mark.parametrize("among", FieldContext)
def test_name_without_a_word_for_personal_data_is_not_recognized(name, among):
    assert kind_of_name(name, among)[0] is person_in(name, among) is None


@pytest.mark.parametrize("seed", range(4))
def test_name_of_a_hash_is_recognized_equally_in_every_process(seed):
    # The order of a set differs between processes.
    script = "from twite.redaction.vocabulary import person_in; print(person_in('hashed_email'))"

    said = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONHASHSEED": f"{seed}"},
        capture_output=True,
        check=True,
        text=True,
    )

    assert said.stdout.strip() == "email"


@pytest.mark.parametrize("name", ["name", "fn", "fnconfirm"])
def test_short_name_is_not_personal_data_among_product_fields(name):
    assert [person_in(name, among) for among in (EVENT, PERSON, THINGS)] == [NAME, NAME, None]


@pytest.mark.parametrize(
    ("name", "below"),
    [
        # (in an event, in data about a person, among things)
        ("x", (THINGS, PERSON, THINGS)), ("0", (EVENT, PERSON, THINGS)),
        ("items", (THINGS, THINGS, THINGS)), ("line_item", (THINGS, THINGS, THINGS)),
        ("data", (EVENT, EVENT, EVENT)), ("user_data", (PERSON, PERSON, PERSON)),
        ("customers", (PERSON, PERSON, PERSON)), ("customerInfo", (PERSON, PERSON, PERSON)),
        ("info", (THINGS, PERSON, THINGS)), ("shopInfo", (THINGS, PERSON, THINGS)),
        ("user_data.items", (THINGS, THINGS, THINGS)), ("items.0", (THINGS, THINGS, THINGS)),
        ("user_data.0", (PERSON, PERSON, PERSON)), ("user[x]", (PERSON, PERSON, PERSON)),
    ],
)  # fmt: skip
def test_name_sets_the_context_of_the_fields_in_it(name, below):
    assert tuple(kind_of_name(name, among)[1] for among in (EVENT, PERSON, THINGS)) == below


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("items.0.name", None), ("items.name", None), ("x.name", None), ("user_data.name", NAME),
        ("user_data.0.name", NAME), ("data.name", NAME), ("0.name", NAME), ("user[email]", EMAIL),
    ],
)  # fmt: skip
def test_context_of_a_path_is_that_of_its_last_step(name, kind):
    assert person_in(name) is kind


@pytest.mark.parametrize(
    ("check", "yes", "no"),
    [
        (
            may_name_a_phone,
            ["telefon_filiale_2", "ecomPhoneOfDriver", "x.hashed_phone", "phone2"],
            ["phone_order_id", "xphone", "user_data", "", "phone" + "x" * LONGEST_NAME],
        ),
        (
            is_about_people,
            ["user_data", "x.user_data", "customerInfo", "customers", "x" * LONGEST_NAME + ".user"],
            ["user_data.x", "items", "info", "shop_info", "data", "email"],
        ),
        (
            is_digest_key,
            ["sha256_email_address", "email_hash", "x.hashed_phone", "emailSha256"],
            ["email", "hashed.email", "x_sha256_y"],
        ),
        (is_well_known, ["sha256_email_address", "X-GA-mp2-user_properties"], ["email", "x-ga"]),
        (is_harmless_header, ["content-type", " Content-Type "], ["cookie", "x-odd"]),
        (is_harmless_parameter, ["page", " PAGE ", "utm_source"], ["token", "x-odd"]),
        (
            promises_secret,
            ["apiAccessToken", "api key", "API_KEY", "token2", "client-secret"],
            ["accesstoken", "monkey", "key", "author", ""],
        ),
    ],
)
def test_names_are_recognized_in_their_spellings(check, yes, no):
    assert [name for name in yes if check(name) is not True] == []
    assert [name for name in no if check(name) is not False] == []


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("User-Data", "userdata"), ("Prénom", "prenom"), ("Straße", "strasse"), ("имя_1", "имя1"),
        ("й-ё", "ие"), ("\ufb01n", "fin"),
    ],
)  # fmt: skip
def test_names_are_compared_without_case_separators_and_accents(name, form):
    assert plain(name) == form


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("user_data.x", "people"), ("x.user_data", "people"), ("x.email", "email"),
        ("email.x", "any"), ("name", "any"), ("name2", "any"), ("city", "detail"),
        ("xga1", "token"), ("x-ga-gcs", "plain"), ("my_secret", "secret"), ("author", "any"),
        ("auth", "secret"), ("authKey", "secret"), ("passwordHint", "secret"),
        ("cookie_x", "cookies"), ("e_mail2", "email"), ("xEMailY", "email"),
        ("telefone_x", "phone"),
        ("hashed_x", "name"), ("sha256_x", "name"), ("x_name_of_user_y", "name"),
        ("x2_last_name", "name"), ("tw_clid", "click"), ("twpid2", "click"), ("gclid", "token"),
        ("fooClid", "token"), ("clidfoo", "any"), ("my_click_id", "token"), ("user_id", "token"),
        ("uuid7", "token"), ("deviceId", "token"), ("ip_addr", "address"),
        ("user_agent_x", "agent"), ("other", "any"), ("-other-", "any"), ("tel.nr", "phone"),
        ("x" * LONGEST_NAME + "_secret", "secret"), ("secret" + "x" * LONGEST_NAME, "any"),
    ],
)  # fmt: skip
def test_field_is_masked_by_its_name(name, kind):
    assert kind_of(name) == kind
