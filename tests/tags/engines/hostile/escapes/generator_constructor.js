const make = (function* () {}).constructor;
return !!make && !!make('yield globalThis')().next().value;
