#!/bin/sh
# A PHP for the call that tests/journeys runs in it, where there is none and one may be installed.
# Without one that test says so and is skipped: this never fails.
command -v php >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "No PHP here, and none may be installed: the call in PHP will not be run"
	exit 0
fi
echo "Installing PHP for the call that is given in it (once) …"
export DEBIAN_FRONTEND=noninteractive
{ apt-get -qq update && apt-get -qq install --yes --no-install-recommends php-cli; } >/dev/null 2>&1 ||
	echo "It could not be installed: the call in PHP will not be run"
exit 0
