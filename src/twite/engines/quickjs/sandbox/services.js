// The APIs of Google's own services: asked for as effects, for whoever has them configured.

const PROJECT = 'GOOGLE_CLOUD_PROJECT'; // what Google's permissions call the container's own project

function document(path, options, operation) {
  const project = makeString((options && options.projectId) || PROJECT);
  const text = makeString(path);
  need(rowFits(granted.documents, [project, text, operation]), 'access_firestore', operation + ' ' + text);
}

const serviceApis = {
  BigQuery: {
    insert(connection, rows, options) {
      const { projectId, datasetId, tableId } = connection || {};
      const place = [makeString(projectId || PROJECT), makeString(datasetId), makeString(tableId)];
      need(rowFits(granted.tables, [...place, 'write']), 'access_bigquery', place.join('.'));
      return asksService('BigQuery.insert', [connection, rows, options]);
    },
  },
  Firestore: {
    read(path, options) {
      document(path, options, 'read');
      return asksService('Firestore.read', [path, options]);
    },
    write(path, input, options) {
      document(path, options, 'write');
      return asksService('Firestore.write', [path, input, options]);
    },
    query(collection, conditions, options) {
      document(collection, options, 'read');
      const limited = Object.assign({ limit: 5 }, options || {});
      return asksService('Firestore.query', [collection, conditions, limited]);
    },
    runTransaction(callback, options) {
      return asksService('Firestore.begin', [options]).then((transaction) => {
        const done = callback(transaction);
        const commit = () => asksService('Firestore.commit', [transaction, options]);
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
