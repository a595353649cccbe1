const given = {length: 65000};
function none() {}
for (;;) none.apply(null, given);
