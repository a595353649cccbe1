// Half of a surrogate pair, everywhere that the outside reads.
require('logToConsole')('\ud800', '\\ud800', {'\udfff': '\ud83d'});
require('setResponseBody')('\udc00');
require('templateDataStorage').setItemCopy('\ud800', ['\ud800']);
return false;
