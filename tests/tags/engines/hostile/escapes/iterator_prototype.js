const step = (function* () { yield 1; })();
try { step.next.call = () => ({ value: 'mine' }); } catch (error) {}
return !!step.constructor || !!step.toArray && !!step.toArray.constructor;
