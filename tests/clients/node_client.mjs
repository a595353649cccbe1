// Runs the calls on standard input with the built client; prints one outcome for each.
import {readFileSync} from 'node:fs';

const {client, calls} = JSON.parse(readFileSync(0, 'utf8'));
const {Twite} = await import(client);

async function outcome({url, key, method, argument, options, sending}) {
  try {
    const twite = new Twite(url, key, options);
    const receipt = await twite[method](argument, sending);
    return {receipt: {...receipt, rejected: [...receipt.rejected.keys()], duplicates: [...receipt.duplicates]}};
  } catch (error) {
    return {
      error: error.name,
      message: error.message,
      accepted: error.receipt?.accepted,
      faults: error.faults,
    };
  }
}

console.log(JSON.stringify(await Promise.all(calls.map(outcome))));
