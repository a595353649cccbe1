// Freezing, or extending, what the next run gets.
const freeze = require('Object').freeze;
[require('JSON'), require('templateDataStorage'), require('getAllEventData')(), [], {}].forEach((one) => freeze(one));
if (data.leak || data.gtmOnSuccess.leak) return true;
data.leak = 1;
data.gtmOnSuccess.leak = 1;
freeze(data);
return false;
