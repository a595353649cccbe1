[].keys.call({length: 9007199254740991}).drop(9007199254740990).next();
