"""Texts that look like secrets, and texts that do not: each line is a case. None is real."""

SECRETS = """
px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5
Bearer wh_5Tq8Zn2Xc7Vb1Lm4Kp9Rd
Bearer EAAGm0PX4ZCpsBAKZCZBexample{{x}}
{{Prefix}}EAAGm0PX4ZCpsBAKZCZBexample
EAAGm0PX4ZCpsBAKZCZBexample
EAAGm0PX4ZCpsBAKZCZBexample, and no more
123456789012345|aZ3kQ9xLm2Vb7Tn4Rp8Ws6Yd1Fg
eyJhbGciOiJIUzI1NiJ9.e30.x
{"Authorization": "Bearer 5Tq8Zn2Xc7Vb1Lm4"}
Basic dXNlcjpwYXNz
https://user:word@api.example/in
https://{{host}}/in?access_token=abc
https://api.example/in?access_token=abc
https://api.example/v1/aB3dE5fG7hJ9kL2mN4pQ/in
https://api.example/in?sig=aB3dE5fG7hJ9kL2mN4pQ6rS8tU1v
https://{{Host}}/services/aB3dE5fG7hJ9kL2mN4pQ6rS8
https://hooks.slack.com/services/T0000EXMP/B0000EXMP/XXXXexampleXXXXexample
9f86d081884c7d659a2feaa0c55ad015
9F86D081884C7D659A2FEAA0C55AD015
da39a3ee5e6b4b0d3255bfef95601890afd80709
9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
the key is 9f86d081884c7d659a2feaa0c55ad015.
Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3A=
q8Zn2Xc7Vb1Lm4Kp9Rd+wh/5Tq8Zn2Xc7Vb1Lm4Kp9R
sk_live_4eC39HqLyjWDarjtT1zdp7dc
whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH
ghp_16C7e42F292c6912E7710c838347Ae178B4a
AKIAIOSFODNN7EXAMPLE
wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
pat-na1-3f2b8c1e-9d4a-4b6f-8e21-0a5c7d9e1f23
the token is pat-eu1-3f2b8c1e-9d4a-4b6f-8e21-0a5c7d9e1f23.
-----BEGIN PRIVATE KEY-----\\nMIIEvQ
""".strip().splitlines()

OTHERS = """
purchase
o8z6j
tw-o8z6j-o8z6m
G-J4JTN4JRE0
GTM-T2ZQP7WV
UA-12345-1
AW-11223344556/AbC-D_efG-h12_34-567
DC-1234567/abcde0/fghij1+standard
https://shop.example/Images/Product2/LargeThumbnails/Ab
Shop/Checkout/Step2/AddPaymentInformation
25699472449663830
123456789012345678901234567890
3f2b8c1e-9d4a-4b6f-8e21-0a5c7d9e1f23
{{Access token of the pixel 2f7Qm9Zr4Tb8}}
Bearer {{Access token}}
https://{{User}}:{{Password}}@api.example/in
https://api.example/in?access_token={{Token}}
https://api.example/orders?event=purchase
https://graph.facebook.com/v18.0/25699472449663830/events
https://t.shop.example/8f14e45f-ceea-467f-a0e6-8b1f2b1c9d11/in
https://server-side-tagging-abc123xyz4-uc.a.run.app/g/collect
GS1.1.1700000000.1.1.1700000000.0.0.0
fb.1.1596403881668.1116446470
1:1234567890:web:321abc456def7890
A sentence that is long enough to be one, with 3 numbers 1 2
completed_checkout_with_discount
completed_checkout_with_discount_code_applied_step_3_of_4
x-ga-mp2-user_properties.customer_lifetime_value_2024
enableGa4EventEnhancementForServerSideTagsV2
addPaymentInfoToServerV2ContainerEvent
iPhone15ProMaxTitanium256GBNaturalLaunch
actualTagFireEventTime-preTagFireEventTime
ecommerce.items.0.item_category5
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAIAAAACACAIAAABMXPacAAAACXBIWXMAAA7EAAAOxAGVKw4b
token authentication is needed
^(purchase|sign_?up|add_to_cart)$
2026-11-25T10:00:00Z
""".strip().splitlines()
