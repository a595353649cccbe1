for (let i = 0; i < 400; i++) require('logToConsole')('x'.repeat(10000));
