const literal = {
  look() { return super.constructor || super.__proto__; },
  write() { super.leak = 1; }
};
literal.write();
return !!literal.look() || ({}).leak === 1 || [].leak === 1;
