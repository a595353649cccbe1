const long = '\ud800'.repeat(3000000);
for (;;) long.toWellFormed();
