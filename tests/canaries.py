"""A person and two keys in every spelling that must be removed, and values that must stay."""

import base64
from urllib.parse import quote

EMAIL = "erika.zqmuster@canary.example"
DIGITS = "442079460016"
PHONE = f"+{DIGITS}"
NAME = "Zqerika"


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# As they may occur in text that is not an email or phone field.
SPELLINGS = {
    "email": EMAIL,
    "email, capitals": EMAIL.upper(),
    "email, escaped": quote(EMAIL, safe=""),
    "email, small escapes": EMAIL.replace("@", "%40"),
    "email, escaped twice": quote(quote(EMAIL, safe=""), safe=""),
    "email, base 64": _coded(EMAIL),
    "email, base 64 for addresses": base64.urlsafe_b64encode(EMAIL.encode()).decode().rstrip("="),
    "email, base 64 behind a word": f"order_{_coded(EMAIL)}",
    "email, base 64 behind a hyphen": f"id-{_coded(EMAIL).rstrip('=')}",
    "email, base 64 before a word": f"{_coded(EMAIL).rstrip('=')}_2026-retry",
    "email, entity": EMAIL.replace("@", "&#64;"),
    "phone": PHONE,
    "phone, escaped": f"%2B{DIGITS}",
    "phone, full-width plus": f"\uff0b{DIGITS}",
    "phone, blanks": "+44 20 7946 0016",
    "phone, hyphens": "+44-20-7946-0016",
    "phone, trunk prefix": "+44 (0)20 7946 0016",
    "phone, 00": "0044 20 7946 0016",
    "phone, brackets": "(020) 7946 0016",
    "phone, link": "tel:02079460016",
    "phone, base 64": _coded(PHONE),
    "phone, base 64 behind a word": f"order_{_coded(PHONE)}",
    "phone, glued": f"tel{PHONE}",
    "phone, behind its label": "Tel+44 20 7946 0016",
    "phone, 00 and hyphens": "0044-20-7946-0016",
    "phone, full-width": "\uff0b" + DIGITS.translate({48 + n: 0xFF10 + n for n in range(10)}),
    "phone, entity": f"&#043;{DIGITS}",
    "phone, entities between": "+44&nbsp;20&nbsp;7946&nbsp;0016",
    "phone, invisible signs": "+44\u200b20\u200b7946\u200b0016",
    "email, long entity": EMAIL.replace("@", "&#x0040;"),
    "email, entity in an entity": EMAIL.replace("@", "&amp;#64;"),
    "email, full-width": EMAIL.replace("@", "\uff20"),
    "email, escaped five times": EMAIL.replace("@", "%2525252540"),
    "email, invisible sign": EMAIL.replace("@", "\u200b@"),
    "phone, tabs": "+44\t20\t7946\t0016",
    "phone, escaped tabs": "+44\\t20\\t7946\\t0016",
    "phone, escaped line ends": "+44\\n20\\n7946\\r\\n0016",
    "phone, dialled from America": "011 44 20 7946 0016",
    "phone, behind whose it is": f"user{PHONE}",
    "phone, chat link": f"https://wa.me/{DIGITS}",
    "phone, chat parameter": f"https://api.whatsapp.com/send?phone={DIGITS}",
    "phone, form": f"note=call+%2B{DIGITS}",
    "phone, item of a hit": f"pr1=idA~nm%2B{DIGITS}~qt1",
    "phone, base 64 in an item": f"idA~nm{_coded(PHONE).rstrip('=')}~qt1",
    "email, base 64 in an item": f"idA~nm{_coded(EMAIL).rstrip('=')}~qt1",
    "phone, two plus signs": f"++{DIGITS}",
    "phone, middle dots": "+44\u00b720\u00b77946\u00b70016",
    "phone, long dashes": "+44\u201320\u20137946\u20130016",
    "phone, two blanks": "+44  20  7946  0016",
    "phone, brackets without blanks": "(020)79460016",
    "phone, link with slashes": "tel://02079460016",
    "phone, link for a message": "smsto:02079460016",
    "phone, behind a word": "Tel: 020 7946 0016",
    "phone, behind a word in Chinese": "\u7535\u8bdd\uff1a02079460016",
    "email, quoted": f'"Erika {EMAIL.partition("@")[0]}"@canary.example',
    "email, blank before the sign": EMAIL.replace("@", "\u00a0@"),
}
# Every spelling contains one of these parts, and nothing else does. Small letters.
NEEDLES = tuple(
    dict.fromkeys(
        [
            b"zqmuster",
            b"zqerika",
            b"79460016",
            b"7946 0016",
            b"7946-0016",
            b"7946\t0016",
            b"7946\\t0016",
            b"7946\\\\t0016",
            b"7946\\r",
            b"7946\\\\r",
            b"7946%200016",
            b"7946  0016",
            "7946\u00b70016".encode(),
            "7946\u20130016".encode(),
            b"7946+0016",
            b"7946&nbsp;0016",
            "7946\u200b0016".encode(),
            DIGITS[-8:].translate({48 + n: 0xFF10 + n for n in range(10)}).encode(),
            *(_coded(said)[4:-4].lower().encode() for said in (EMAIL, EMAIL.upper(), PHONE)),
        ]
    )
)


def found_in(kept: bytes) -> list[str]:
    """Return the parts of the person's data that these bytes contain."""
    low = kept.lower()
    return [needle.decode() for needle in NEEDLES if needle in low]


# Names of top-level event fields that hold personal data, in several languages and spellings.
EMAIL_FIELDS = (
    "email", "e-mail", "Email", "EMAIL_ADDRESS", "emailAddress", "mail", "userEmail",
    "customer_email", "billing-email", "order_email", "custEmail", "user_data.email_address",
    "confirm_email", "email_again",
    "correo", "correo_electronico", "courriel", "indirizzo_email", "email_cliente", "メール",
)  # fmt: skip
PHONE_FIELDS = (
    "phone", "phone_number", "phoneNumber", "Phone No", "telephone", "tel", "tel_nr", "telNr",
    "携帯電話", "no_hp", "fields[phone]", "checkout[shipping_address][phone]", "data[User][tel]",
    "Tel.-Nr.", "telefonnummer", "telefonNr", "handy", "handynummer", "mobile", "mobile_no",
    "mobilNr", "cell_phone", "cust_phone", "custPhone", "customer_tel", "kunde_telefon",
    "téléphone", "numero_de_telephone", "telefono_cliente", "telefono", "teléfono", "telemovel",
    "celular", "телефон", "電話番号", "手机号", "msisdn", "whatsapp", "fax", "order_phone",
    "phone2", "phone_e164", "user_data.phone_number", "landline", "customer_landline",
    "festnetz", "festnetznummer", "sms", "sms_number", "purchaser_phone", "confirm_phone",
    "day_phone", "wa_number", "tel.nr", "мобильный_телефон", "联系电话",
)  # fmt: skip
NAME_FIELDS = (
    "first_name", "firstName", "fname", "vorname", "Nachname", "familienname", "prénom", "prenom",
    "nom_de_famille", "apellidos", "cognome", "achternaam", "nazwisko", "имя", "氏名",
    "full_name", "customer_name", "cust_name", "kundenname", "username", "name", "nom", "nombre",
    "street", "Straße", "strasse", "hausnummer", "billing_street_2", "lieferadresse", "direccion",
    "purchaser_name", "purchaser_first_name", "geburtsdatum", "date_of_birth",
    "fecha_de_nacimiento", "お名前", "ad_soyad", "name_on_card",
    "checkout[shipping_address][first_name]", "owner_name", "cc-name", "card_holder", "收件人",
)  # fmt: skip

# Fields as forms and shops list them: the name says what the value is.
ROWS = (
    {"name": "Telefon", "value": "02079460016"},
    {"name": "Vorname", "value": NAME},
    {"key": "Vorname", "value": NAME},
    {"Key": "mobile", "Value": "020 7946 0016"},
    {"id": "c7", "label": "E-Mail", "value": EMAIL},
    {"field_name": "first_name", "field_value": NAME},
    {"title": "Nachname", "answer": [NAME]},
    {"name": "landline", "value": {"string_value": "02079460016"}, "type": "text"},
    {"question": "Your phone", "answers": ["02079460016"]},
)
# Fields of the same structure, but about things.
HARMLESS_ROWS = (
    {"name": "Color", "value": "Red"}, {"item_name": "Telefon", "value": 499},
    {"name": "Phone", "value": "499", "price": 499, "sku": "P-1"},
    {"key": "gift", "value": "yes"}, {"name": "Delivery slot", "value": "09:00-12:00"},
    {"name": "Mug", "id": "M-1", "value": 5},
)  # fmt: skip

# Values of shops and tags that are not personal: they must stay unchanged everywhere.
HARMLESS = (
    # order ids
    "W-100000", "1001", "#1001", "100000442079460016", "442079460016", "4155550100",
    "02079460016", "00442079460016", "INV/2026/000123", "ORD-2026-11-27-0001",
    "112-1234567-1234567",
    "2026112700001", "SO000000123456", "R987654321", "A+100200300", "ord_1NqK9a2eZvKYlo2C",
    "PO-00 12", "gid://shopify/Order/450789469",
    # SKUs and products
    "CAP-7", "PRINT-A2", "BAG-3", "SKU+15550100123", "Mug (350 ml)", "Shirt (size 42)", "Cable 2 m",
    "iPhone 15 Pro (256 GB)", "C++ Primer", "Vitamin D3+K2", "50% off", "100% cotton", "Q&A",
    "AC/DC T-shirt", "Kit 00 gauge", "Lens 24-70 mm", "Set (100) 20 pieces", "Print of a large sea",
    "Season ticket (2025) 2025-2026", "Screws (100) 200-3000", "Intel Core i7@3.40GHz",
    "Monitor 4K@59.94Hz", "logo@2x.png", "order@1.2", "Bundle 3@9.99", "pkg@1.2.3",
    "SHOP+12025550123", "ORD+442079460016", "20261127+12025550123", "0012-345-678-9012",
    "0114 496 0123", "011-44", "01144-2026-11", "C:\\new\\table", "ORDER+442079460016", "a=b",
    "size=42",
    "https://shop.example/products/blue-widget?variant=4077",
    "https://cdn.shop.example/npm/pkg@4.9.8/x.js", "/docs/tool@2.1.0/index.html", "R&D",
    "5+1 pack", "+20 % more",
    # dates and times
    "2026-11-27", "2026-11-27T13:26:23Z", "2026-11-27T13:26:23.123+10:00", "27.11.2026 13:26",
    "11/27/2026", "20261127", "1764250000", "1764250000123", "Fri Nov 27 2026 13:26:23 GMT+1100",
    # amounts
    "49.90", "1,234.56", "1.234,56 EUR", "+49.90", "-12.50", "1e6", "+1,000,000",
    # ISBN, EAN, GTIN
    "978-3-16-148410-0", "9783161484100", "4006381333931", "00012345600012", "0-306-40615-2",
    # UUIDs, hashes, click ids, cookies
    "123e4567-e89b-12d3-a456-426614174000",
    "a4c14f1b068bf2c602e289b5dfcd89085692c73c63daf5a90a0b481b7328ee35",
    "pIHpLHS4qL2vIvkG6RC6T+A8CsZqtbAZZR9yUd1mFzs=", "23opevjt88psuo13lu8d020qkn",
    "2-ymg44xgaszkegghn8wl1j291i", "CjwKCAiA0bWvBhBjEiwAtEsoW8Qq5d-8kLQ",
    "GA1.1.1187329187.1764063980",
    "fb.1.1764063980123.1098115397", "tw.1764071000000.123456789012345678", "G-ABCDEF1234",
    "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", "1YNN", "G111", "13r3r3r3r5l1",
    # random ids that are also valid base64
    "QORAQS5K55N9", "order_QORAQS5K55N9", "id-QORAQS5K55N9",
    # browsers
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142",
    # campaigns
    "spring_sale", "Black+Friday+2026", "email", "newsletter-2026-11", "cpc", "a+b", "{campaign}",
)  # fmt: skip
# Names of fields without personal data.
HARMLESS_FIELDS = (
    "event", "event_name", "page_title", "item_name", "product_name", "campaign_name", "coupon",
    "page_location", "currency", "value", "transaction_id", "order_number", "customer_number",
    "kundennummer", "customer_id", "client_id", "items", "store_name", "company_name", "form_name",
    "form_id", "mobile_network", "device_model", "cell_id", "email_campaign",
    "email_opt_in_version",
    "phone_model", "phone_case_color", "telemetry", "cellar", "capacity", "handle", "homepage",
    "work_order", "page_name", "method", "description", "number", "line", "mailing_list",
    "nominal", "fax_machine_model", "street_view", "streetwear", "house", "address_type_id",
)  # fmt: skip
