// The APIs of Google's own services: requested as effects, which the caller performs if the
// services are configured.

const PROJECT = 'GOOGLE_CLOUD_PROJECT'; // the name of the container's own project in permissions

// The checked value must be the sent value. Objects may return different values when read again, so
// each is copied first, and each text is created once.
function documentPlace(path, options, operation) {
  const text = makeString(path);
  const given = copied(options) || {};
  const project = makeString(given.projectId || PROJECT);
  if (given.projectId) given.projectId = project;
  need(rowFits(granted.documents, [project, text, operation]), 'access_firestore', operation + ' ' + text);
  return [text, given];
}

const SCRIPTS = {
  ANALYTICS: 'https://www.google-analytics.com/analytics.js',
  GTAG: 'https://www.googletagmanager.com/gtag/js',
  GTM: 'https://www.googletagmanager.com/gtm.js',
};
const COLLECT = 'https://www.google-analytics.com/g/collect';
const AGAIN = 2; // retries of a transaction after a conflict

// The older form of an API, with callbacks instead of a promise.
function tell(promise, onSuccess, onFailure) {
  promise.then(
    (value) => { if (typeof onSuccess === 'function') onSuccess(value); },
    (reason) => { if (typeof onFailure === 'function') onFailure(reason); },
  );
}

function transact(callback, given, left, former) {
  const asked = former === undefined ? given : Object.assign({}, given, { retry: former });
  return asksService('Firestore.begin', [asked]).then((transaction) => {
    const done = new SandboxPromise();
    SandboxPromise.resolve(done, undefined);
    return done.then(() => callback(transaction)).then(
      () => asksService('Firestore.commit', [transaction, given]),
      (reason) => {
        asksService('Firestore.rollback', [transaction, given]).catch(() => undefined);
        throw reason;
      },
    ).catch((reason) => {
      if (left > 0 && reason && reason.reason === 'aborted') return transact(callback, given, left - 1, transaction);
      throw reason;
    });
  });
}

const serviceApis = {
  BigQuery: {
    insert(connection, rows, options, onSuccess, onFailure) {
      const { projectId, datasetId, tableId } = copied(connection) || {};
      const place = [projectId || PROJECT, datasetId, tableId].map(makeString);
      need(rowFits(granted.tables, [...place, 'write']), 'access_bigquery', place.join('.'));
      const named = { projectId: place[0], datasetId: place[1], tableId: place[2] };
      const promise = asksService('BigQuery.insert', [named, rows, copied(options) || {}]);
      if (typeof onSuccess !== 'function' && typeof onFailure !== 'function') return promise;
      return tell(promise, onSuccess, onFailure);
    },
  },
  Firestore: {
    read(path, options) {
      const [text, given] = documentPlace(path, options, 'read');
      return asksService('Firestore.read', [text, given]);
    },
    write(path, input, options) {
      const [text, given] = documentPlace(path, options, 'write');
      return asksService('Firestore.write', [text, input, given]);
    },
    query(collection, conditions, options) {
      const [text, given] = documentPlace(collection, options, 'read');
      return asksService('Firestore.query', [text, conditions, Object.assign({ limit: 5 }, given)]);
    },
    runTransaction(callback, options) {
      need(granted.documents.length > 0, 'access_firestore', 'transaction');
      const given = copied(options) || {};
      if (given.projectId) given.projectId = makeString(given.projectId);
      return transact(callback, given, AGAIN);
    },
  },
  getGoogleAuth(options) {
    const scopes = ((options && options.scopes) || []).map(makeString);
    for (const scope of scopes) need(fits(granted.scopes, scope), 'use_google_credentials', scope);
    const authorization = Object.freeze({});
    authorizations.set(authorization, scopes);
    return authorization;
  },
  getGoogleScript(name, second, third) {
    const text = makeString(name);
    const place = hasOwn(SCRIPTS, text) ? SCRIPTS[text] : SCRIPTS.GTM;
    need(fits(granted.urls, place), 'send_http', place);
    const legacy = typeof second === 'function';
    const promise = asksService('getGoogleScript', [text, legacy ? third : second]);
    if (!legacy) return promise;
    return tell(promise, (found) => second(found.script, found.metadata), () => second(undefined, {}));
  },
  sendEventToGoogleAnalytics(event) {
    need(fits(granted.urls, COLLECT), 'send_http', COLLECT);
    return asksService('sendEventToGoogleAnalytics', [event]);
  },
};
