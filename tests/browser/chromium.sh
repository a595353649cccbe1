#!/bin/sh
# A Chromium for tests/browser where there is none and one may be installed. Without one those tests
# say so and are skipped: this never fails.
for name in "${TWITE_CHROMIUM:-none}" chromium chromium-browser google-chrome google-chrome-stable; do
	command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "No Chromium here, and none may be installed: the tests in a browser will be skipped"
	exit 0
fi
echo "Installing Chromium for the tests in a browser (once) …"
export DEBIAN_FRONTEND=noninteractive
install="apt-get -qq install --yes --no-install-recommends"
{ apt-get -qq update && $install chromium; } >/dev/null 2>&1 ||
	echo "It could not be installed: the tests in a browser will be skipped"
# Most of the tests use it where there is one. Not every distribution has the package.
$install chromium-headless-shell >/dev/null 2>&1
exit 0
