const list = [1, 2];
let seen = false;
list.constructor = { get x() { seen = true; return 1; } };
list.map((one) => one);
return seen;
