// Reads strings with the IAB's own packages: lines of {"kind", "text"} in, one line of fields out for
// each, or {"error": true} where the package refuses. `make oracle` installs the packages.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.argv[2]}/`);
const { TCString } = require("@iabtcf/core");
const { GppModel } = require("@iabgpp/cmpapi");

const ids = (vector) => [...vector].filter(([, set]) => set).map(([id]) => id);

function tcf(text) {
  const read = TCString.decode(text);
  const restrictions = read.publisherRestrictions.getRestrictions().map((one) => [
    one.purposeId,
    one.restrictionType,
    read.publisherRestrictions.getVendors(one),
  ]);
  return {
    created: read.created.getTime(),
    updated: read.lastUpdated.getTime(),
    cmp: read.cmpId,
    cmp_version: read.cmpVersion,
    screen: read.consentScreen,
    language: read.consentLanguage,
    vendor_list: read.vendorListVersion,
    policy_version: read.policyVersion,
    service_specific: read.isServiceSpecific,
    special_features: ids(read.specialFeatureOptins),
    purposes: ids(read.purposeConsents),
    legitimate_interests: ids(read.purposeLegitimateInterests),
    purpose_one_treatment: read.purposeOneTreatment,
    publisher_country: read.publisherCountryCode,
    vendors: ids(read.vendorConsents),
    vendor_interests: ids(read.vendorLegitimateInterests),
    disclosed: ids(read.vendorsDisclosed),
    restrictions,
  };
}

function gpp(text) {
  return new GppModel(text).toObject();
}

const readers = { tcf, gpp };
for await (const line of createInterface({ input: process.stdin })) {
  const { kind, text } = JSON.parse(line);
  let answer;
  try {
    answer = readers[kind](text);
  } catch {
    answer = { error: true };
  }
  console.log(JSON.stringify(answer));
}
