"""The words that occur in field names, grouped by the kind of data that they indicate.

Words are in lower case, without accents and separators: `Tel.-Nr.` is `telnr`. The languages are
those of X's larger markets. `vocabulary` uses the words, and docs/reference/redaction.md explains
them.
"""

from typing import Final

PEOPLE_BEHIND: Final = ("provideddata", "properties", "details", "address", "data", "info")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


EMAILS: Final = _words(
    """
    adressecourriel adresseducourriel
    email emails emailaddress emailaddresses emailid emailaddr mail mails mailaddress mailadresse
    emailadresse emailadres adresseemail adressemail adressemel courriel correo correos
    correoelectronico direcciondecorreo emaildirection indirizzoemail indirizzomail posta
    postaelettronica enderecodeemail epost epostadresse epostadress eposta sahkoposti mailto
    почта электроннаяпочта имейл メール メールアドレス 邮箱 电子邮件 電子郵件 이메일
    emailadress mailadres surel อีเมล
    emailaddres адресэлектроннойпочты элпочта элнаяпочта البريدالالكتروني البريدالإلكتروني
    replyto confirmarcorreo repetircorreo emailconferma confermaemail repetiremail
    confirmaremail repetiremailadresse wiederholteemail 메일 메일주소 メルアド 電子メール 邮箱地址
    電郵 thuđientu
    thudientu
    эладрес 电子邮箱 メルアド enderecoemail enderecoeletronico emailkunde correoe
    adresemail emailc
    """
)
PHONES: Final = _words(
    """
    phone phones phoneno phonenum phonenumber phonenumbers telephone telephones tel tels telno
    telmobile mobilephone mobiletel cellphone cellular msisdn fax telefax whatsapp callbacknumber
    contactnumber contactno landline landlinephone phonelandline sms smsphone
    festnetz festnetztelefon telefonfestnetz
    telefon telefonnummer telefonmobil mobiltelefon rufnummer mobilrufnummer handynummer
    telephonemobile telephoneportable numerotelephone numerodetelephone numtel numerotel telportable
    telefono telefonos telefonocelular telefonomovil telefonofijo numerodetelefono numerotelefono
    telefonocellulare numeroditelefono
    telefone telefones telemovel numerodetelefone
    telefoon telefoonnummer mobielnummer gsmnummer telefonnumre tlf puhelin puhelinnumero
    numertelefonu telefonszam telefonnumarasi ceptelefonu
    тел телефон номертелефона мобильный 電話 電話番号 電話番號 携帯番号 电话 电话号码 手机 手机号
    手机号码
    전화 전화번호 휴대폰 휴대전화
    携帯電話 携帯電話番号 携帯 nohp nomorhp nomortelepon telepon fone telefonecontato dienthoai
    sodienthoai telefonnicislo telefonprivat telfixe phonehome phonemobile mobiel tfno
    τηλεφωνο โทรศัพท์ هاتف الهاتف جوال טלפון
    phonework phonecell phoneday phonedaytime phoneevening phonenight phoneoffice phoneprimary
    phonesecondary phonebusiness phoneother phoneprivate telhome telwork telnational teloffice
    telday wanumber nomorwa nowa notelp nohandphone telp sdt sođienthoai teleponrumah
    telefonocasa telefonocontacto telefonodecontacto telcontacto numerocelular numeromovil
    numerowhatsapp numtelefono nrotelefono numerodecelular numerodemovil telefonodecasa
    telefonotrabajo numerocellulare telcellulare numerodicellulare numportable numeroportable
    numerodeportable telephonefixe telephonedomicile telephonepersonnel telefongeschaftlich
    telefontagsuber telefonabends telefondienstlich ruckrufnummer rueckrufnummer mobilnummer
    mobiltelefonnummer telefonnumer telefonnummermobil telefonnummerprivat matkapuhelin
    matkapuhelinnumero nrtelefonu telefonkontaktowy telkontaktowy numerkontaktowy mobilszam
    mobiltelefonszam numartelefon nrtelefon numardetelefon ceptel мобильныйтелефон мобтелефон
    контактныйтелефон номермобильного сотовый сотовыйтелефон телефондлясвязи домашнийтелефон
    рабочийтелефон 联系电话 联系方式 移动电话 联系手机 聯絡電話 手機 手機號碼 行動電話
    連絡先電話番号 連絡先 固定電話 휴대폰번호 휴대전화번호 연락처 핸드폰
    핸드폰번호 เบอร์โทร เบอร์โทรศัพท์ เบอร์มือถือ رقمالهاتف الجوال رقمالجوال الموبايل מספרטלפון נייד
    κινητο τηλεφωνοεπικοινωνιας
    handphone nohandphone cellularphone phonenumberconfirmed ntelephone nodetelephone
    mobieletelefoon telmovil numeromobile celularwhatsapp telefongsm telefonkom telefonfijo
    telefonokontaktowy telefonecelular contactnum viber celularcontato recapitotelefonico cepno
    моб brojtelefona brojmobitela
    """
)
NAMES: Final = _words(
    """
    firstname firstnames fname forename forenames givenname givennames lastname lastnames lname
    surname familyname middlename maidenname fullname displayname nickname legalname
    street streets streetaddress streetname streetnumber streetno housenumber houseno address
    addressline addresslines addr
    birthday birthdate birthyear dateofbirth yearofbirth dob
    vorname nachname familienname zuname strasse strassenname hausnummer anschrift adresse
    adresszeile geburtsdatum geburtstag geburtsjahr
    prenom prenoms nomdefamille nomfamille nomcomplet adressepostale datenaissance datedenaissance
    apellido apellidos primerapellido segundoapellido nombrecompleto nombres primernombre calle
    direccion domicilio fechanacimiento fechadenacimiento
    cognome nomecognome nomecompleto indirizzo datanascita datadinascita
    sobrenome primeironome endereco logradouro datanascimento datadenascimento
    voornaam achternaam straat straatnaam huisnummer geboortedatum
    fornamn efternamn fornavn etternavn efternavn etunimi sukunimi gatuadress fodelsedatum
    imie nazwisko ulica dataurodzenia keresztnev vezeteknev soyad soyadi dogumtarihi
    имя фамилия отчество адрес датарождения 氏名 名前 姓名 住所 地址 生年月日 出生日期 이름
    성명 주소 생년월일
    お名前 フリガナ ご住所 nameoncard cardname accountholder kontoinhaber contactperson
    ansprechpartner shiptoname namalengkap alamat adsoyad isim hoten jmeno prijmeni
    ονομα επωνυμο ชื่อ นามสกุล الاسم العنوان
    ccname cardholder bankaccountholder additionalname honorificname middleinitial
    middleinitials secondname preferredname mothersmaidenname consignee consigneename
    receivername attn postaladdress residentialaddress mailingaddress fulladdress
    permanentaddress currentaddress bday dayofbirth strassehausnr strassehausnummer strassenr
    adresszusatz namevorname vorundnachname vornamenachname rufname geburtsname
    strasseundhausnummer nomprenom prenomnom nometprenom nomclient nomduclient adresselivraison
    adressefacturation adressedelivraison adressedefacturation nombreapellidos nombreyapellidos
    nombreyapellido segundonombre callenumero direccionenvio direcciondeenvio
    direccionfacturacion nomeecognome cognomenome indirizzospedizione indirizzofatturazione
    enderecoentrega enderecodeentrega nomesobrenome nomedamae tussenvoegsel voorenachternaam
    fødselsdato fødselsdag imienazwisko imieinazwisko nazwiskoiimie jmenoprijmeni jmenoaprijmeni
    teljesnev prenume soyisim adisoyadi фио имяфамилия адресдоставки имяполучателя фамилияимя
    收件人 收件人姓名 收货人 收货地址 联系人 详细地址 收件地址 姓氏 收件人地址 氏名カナ フルネーム
    生年 番地 수령인 받는사람 배송지 ที่อยู่ ชื่อนามสกุล
    ชื่อจริง điachi diachi hovaten namadepan namabelakang alamatlengkap tanggallahir
    namapenerima الاسمالكامل اسمالعائلة الاسمالاول שםפרטי שםמשפחה שםמלא כתובת ονοματεπωνυμο
    διευθυνση
    apellidopaterno apellidomaterno ultimonome nomedamae nomemae voorletters familynames
    wohnadresse adres adresdostawy adreszamieszkania lname fname housenr hausnr
    nomusuel nomdusage segundoapellidos nomenome お名前姓 お名前名 氏名姓 氏名名 姓カナ 名カナ
    ふりがな
    성함 kontoinhabername legalname fulllegalname domiciliofiscal viaindirizzo shipname recipient
    completename karteninhaber empfanger empfaenger destinataire strnr adsoyadi улица 名字
    """
)
# Labels of phone numbers within a text: `Cep: 0532 123 45 67`.
PHONE_LABELS: Final = _words(
    """
    portable puh kom cep hp sdt sđt mov tf tlfn fon моб тел โทร هاتف call ring dial anruf rufen
    """
)
# Names of which the last parts say a person's name, whatever stands before: `acf_2_last_name`.
SURE_NAMES: Final = _words(
    """
    firstname lastname fullname surname middlename maidenname givenname familyname forename
    dateofbirth birthdate dob streetaddress housenumber
    vorname nachname familienname geburtsdatum hausnummer prenom nomdefamille datedenaissance
    apellido apellidos fechadenacimiento cognome datadinascita sobrenome voornaam achternaam
    geboortedatum fornamn efternamn fornavn etternavn nazwisko
    """
)
# Words for personal data in data about people and events; elsewhere they describe things.
SHORT_EMAILS: Final = _words("em")
SHORT_PHONES: Final = _words(
    "ph wa mobile mobil cell handy mob gsm natel movil celular cellulare telemovil komorka"
)
SHORT_NAMES: Final = _words("fn ln 姓 名")
# Also short, but things have such fields so often that masking ignores these words.
NAMES_OF_THINGS: Final = _words(
    "name names nom nome nombre naam namn navn nimi rue rua nev nume שם"
)
# Personal data that is stored unchanged, because tags need it; masked in output.
DETAILS: Final = _words(
    """
    ct st city town zip zipcode postalcode postcode plz db gender ge sex iban ssn line1 line2
    placeofbirth ort wohnort ville ciudad citta cidade stad codepostal codigopostal cep postnummer
    """
)  # fmt: skip
# Owners. After a word for an owner, a short word is as clear as a long one: `customer_name`,
# `cust_mobile`.
WHOSE: Final = _words(
    """
    applicant attendee billing buyer cardholder client contact customer cust delivery guest holder
    home lead member parent passenger patient payer person primary profile purchaser recipient
    secondary sender shipping shopper student subscriber traveler traveller user visitor work your
    kunde kunden besteller kaufer empfanger rechnung rechnungs liefer lieferung
    acheteur livraison facturation cliente clientes comprador destinatario usuario utente acquirente
    klant koper kund kunder asiakas klient musteri
    child kids baby spouse mother father guardian owner donor employee receiver organizer friend
    my votre mon tu su seu uw billto
    empfaenger kaeufer auftraggeber inhaber halter reisender gast patienten acquereur
    beneficiaire titulaire destinataire comprador titular huesped pasajero intestatario
    proprietario cessionario ontvanger besteller mottaker modtager klienta zamawiajacego
    odbiorcy alici musteri cliente клиент клиента покупатель покупателя получатель получателя
    заказчик заказчика 客户 顾客 收货人 收件人 联系人 买家 用户 会员 订购人 お客様 ご注文者 注文者
    お届け先 届け先 고객 주문자 구매자 수령자
    husband wife tenant landlord kin nextofkin heir pupil shipper bride groom booker
    registrant 받는분
    """
)
# Other prefixes, which do not indicate an owner.
BESIDE: Final = _words(
    """
    account alt alternate alternative bill business checkout company custom daytime emergency
    evening form input invoice main mobile new office order other personal preferred private raw
    ship verified work
    agent backup callback cc confirm confirmar conferma confirmation conferma day driver field
    login manager newsletter night paypal recovery referrer repeat reply replyto retype verify wa
    txt inp frm lbl tb usr reg telefon kontakt gsm mobiele n
    full wc acf bcc to from accounting signup register registration subscribe notify pickup
    numerode 紧急 收货 ご ご連絡先
    """
)
# Suffixes.
WHOSE_BEHIND: Final = _words(
    """
    customer user buyer shopper kunde kunden acheteur cliente usuario utente comprador ofuser
    ofcustomer delcliente ducliente duclient docliente
    client contact contacto contatto kontakt klant klienta klient odbiorcy ontvanger
    destinataire destinatario pasajero huesped kund kunden empfaenger empfanger comprador
    клиента покупателя получателя заказчика 客户
    inhaber beneficiaire titulaire intestatario titular
    """
)
BEHIND: Final = _words(
    """
    raw plain clean cleaned normalized normalised formatted e164 intl international input field
    lower lowercase trimmed full
    confirm confirmation again repeat verify retype
    principal principale primary secondary fijo komorkowy
    stacjonarny gsm dom domowy privat prive personnel personal laboral trabajo casa lavoro
    work dostawy envio entrega spedizione livraison facturation
    lieferung rechnung kind withcode withcountrycode private facture
    """
)
# The word for "number" in names such as `phone_number`.
NUMBER: Final = _words("number numbers nummer numero num nr no")
# Words that say that a number in a field is no phone number, although the field's name has a word
# for phone: `phone_order_id`.
BESIDE_PHONES: Final = _words(
    """
    id ids sku ean gtin upc isbn asin code order price amount cost value total count qty quantity
    time date day ts timestamp at version build size width height weight model serial imei imsi
    article item product case cover invoice campaign template ad adset pixel hash digest score
    """
)
HASHES: Final = _words("sha256 sha512 sha1 md5 hashed hash")

# Objects whose fields are data about a person.
PEOPLE: Final = _words(
    """
    userdata userproperties userproperty userinfo userprovideddata people persons contacts address
    addresses identity traits customerdata customerproperties matchkeys xgamp2userproperties
    customer person profile contact billing shipping billingaddress shippingaddress recipient
    subscriber buyer shopper visitor
    """
)
# Objects about a place or a thing, although their names contain a word for people: a list of works
# is not about people.
NOT_PEOPLE: Final = _words(
    """
    client clients home homes work works your yours child childs kids kidss baby babys my mys votre
    votres mon mons tu tus su sus seu seus uw uws
    """
)
# Name-value rows, as in forms and shops: the content of the name field indicates the kind of the
# value.
ROW_NAMES: Final = _words(
    "name key field label id title question attribute property code slug fieldname fieldkey"
    " fieldlabel fieldid attributename attributecode propertyname"
)
ROW_VALUES: Final = _words(
    "value values val answer answers response fieldvalue attributevalue propertyvalue rawvalue"
)
BESIDE_IN_ROWS: Final = _words("type fieldtype valuetype namespace index position ref order")

# Objects with the fields of an event.
EVENTS: Final = _words(
    """
    data datalayer eventdata fields form formdata formfields params enhancedconversiondata
    eventmodel body payload ep epn up upn
    """
)

# Ids that distinguish a person or browser from others.
TOKENS: Final = _words(
    """
    fbp fbc fbclid gclid gclsrc wbraid gbraid dclid ttclid ttp msclkid lifatid rdtcid rdtuuid sccid
    scclickid epik irclickid ga gid gac gclau gclaw fpid fplc scid clickid cid uid sid clientid
    userid sessionid gasessionid externalid visitorid deviceid userpseudoid anonymousid customerid
    memberid personid subscriberid contactid leadid advertisingid idfa idfv gaid maid aaid
    installationid appinstanceid stapeid browserid fingerprint loginid hash
    """
)
# X's click id, and the ids by which X's script recognizes a browser.
CLICKS: Final = _words("twclid twpid")
SECRETS: Final = _words("key sealed sig authorization proxyauthorization pin otp cvv cvc pan")
# Words that indicate a secret wherever they occur; those of the second group are two words in one.
SECRET_WORDS: Final = _words(
    """
    token tokens secret password passwd pwd bearer credential credentials authorization passphrase
    apikey
    """
)
SECRET_PAIRS: Final = _words(
    """
    apikey accesskey privatekey authkey secretkey sharedkey signingkey consumerkey licensekey
    writekey serverkey clientkey hmackey
    """
)
ADDRESSES: Final = _words(
    """
    ip ips ipaddress ipoverride clientip clientipaddress userip remoteaddress remoteaddr uip
    xforwardedfor xrealip forwarded cfconnectingip trueclientip
    """
)
AGENTS: Final = _words("useragent clientuseragent ua")
COOKIES: Final = _words("cookie cookies setcookie commoncookie")
HEADERS: Final = _words("headers requestheaders responseheaders")
QUERIES: Final = _words("query querystring requestquery searchparams")
PATHS: Final = _words("path requestpath")
BODIES: Final = _words("body requestbody postbody postdata rawbody")
# Ids of any length.
PLAIN: Final = _words(
    """
    conversionid event eventid eventname id itemid contentid sku orderid pixel pixelid policy
    receipt transactionid uniqueeventid
    """
)
PLAIN_OF_GOOGLE: Final = _words(
    """
    xgaprotocolversion xgameasurementid xgagtmversion xgarequestcount xgagcs xgagcd xganpa xgadma
    xgadmacps xgamp1pa xgamp1tr xgamp1ev xgasystemproperties
    """
)
# Names from Google, which masking would otherwise treat as tokens.
OF_GOOGLE: Final = _words(
    """
    sha256_email_address sha256_phone_number sha256_first_name sha256_last_name sha256_street
    x-ga-mp2-user_properties
    """
)
HARMLESS_HEADERS: Final = _words(
    """
    accept accept-encoding accept-language cache-control content-encoding content-length
    content-type date host retry-after server
    """
)
HARMLESS_PARAMETERS: Final = _words(
    """
    color currency cu en event hl lang language page per_page q_count quantity size sort tid
    utm_campaign utm_content utm_medium utm_source utm_term v value variant version
    """
)
