// The APIs of Google's own services: asked for as effects, for whoever has them configured.

const PROJECT = 'GOOGLE_CLOUD_PROJECT'; // what Google's permissions call the container's own project

// What is asked for must be what was looked at: objects may answer differently the second time, so
// that each is copied first, and each text made once.
function documentPlace(path, options, operation) {
  const text = makeString(path);
  const given = copied(options) || {};
  const project = makeString(given.projectId || PROJECT);
  need(rowFits(granted.documents, [project, text, operation]), 'access_firestore', operation + ' ' + text);
  return [text, given];
}

const serviceApis = {
  BigQuery: {
    insert(connection, rows, options) {
      const { projectId, datasetId, tableId } = copied(connection) || {};
      const place = [projectId || PROJECT, datasetId, tableId].map(makeString);
      need(rowFits(granted.tables, [...place, 'write']), 'access_bigquery', place.join('.'));
      const named = { projectId: place[0], datasetId: place[1], tableId: place[2] };
      return asksService('BigQuery.insert', [named, rows, copied(options) || {}]);
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
      const given = copied(options) || {};
      return asksService('Firestore.begin', [given]).then((transaction) => {
        const done = callback(transaction);
        const commit = () => asksService('Firestore.commit', [transaction, given]);
        return done && typeof done.then === 'function' ? done.then(commit) : commit();
      });
    },
  },
  getGoogleAuth(options) {
    const scopes = ((options && options.scopes) || []).map(makeString);
    for (const scope of scopes) need(fits(granted.scopes, scope), 'use_google_credentials', scope);
    const authorization = Object.freeze({});
    authorizations.set(authorization, scopes);
    return authorization;
  },
  getGoogleScript(name, options) {
    const place = 'https://www.googletagmanager.com/';
    need(fits(granted.urls, place), 'send_http', place);
    return asksService('getGoogleScript', [makeString(name), options]);
  },
  sendEventToGoogleAnalytics(event) {
    const place = 'https://www.google-analytics.com/g/collect';
    need(fits(granted.urls, place), 'send_http', place);
    return asksService('sendEventToGoogleAnalytics', [event]);
  },
};
