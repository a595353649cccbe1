return !!(async function () {}).constructor;
