return [].join.call({ length: 9007199254740991 }, '');
