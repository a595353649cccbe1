with (data) { gtmOnSuccess(); }
return true;
