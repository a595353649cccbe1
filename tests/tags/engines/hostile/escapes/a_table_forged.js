let asked = 0;
const place = { datasetId: 'd', get tableId() { return asked++ ? 'forbidden' : 'allowed'; } };
require('BigQuery').insert(place, [{ a: 1 }]);
return asked > 1;
