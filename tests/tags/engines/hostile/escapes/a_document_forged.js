let asked = 0;
const path = { toString() { return asked++ ? 'forbidden/1' : 'allowed/1'; } };
require('Firestore').read(path);
return asked > 1;
