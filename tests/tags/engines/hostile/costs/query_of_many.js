return require('parseUrl')('https://a.example/?' + 'a&'.repeat(300000));
