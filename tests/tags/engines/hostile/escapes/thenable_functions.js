// A thenable is handed functions of the sandbox.
const reaches = (one) => !!one.constructor || !!one.caller;
return require('Promise').create((resolve) => {
  resolve({
    then(fulfil, reject) {
      let found = false;
      [fulfil, reject, resolve].forEach((one) => {
        try {
          if (reaches(one)) found = true;
        } catch (error) {}
        try {
          one.leak = 1;
          found = true;
        } catch (error) {}
      });
      fulfil(found && 'reached');
    }
  });
}).then((found) => found === 'reached' && !!(() => 1).constructor);
