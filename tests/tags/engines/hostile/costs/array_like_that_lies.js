let asked = 0;
return [].join.call({ get length() { return asked++ ? 9007199254740991 : 1; } }, '');
