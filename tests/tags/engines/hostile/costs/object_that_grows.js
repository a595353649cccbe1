const grown = {};
for (let at = 1000000000; ; at++) grown[at] = 1;
