[].fill.call({length: 9007199254740991}, 1);
