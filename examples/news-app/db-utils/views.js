// Page views. The oldest module of the application, from before promises:
// it takes callbacks, and nobody has had a reason to rewrite it.

'use strict';

var listen = require('./borrow').listen;
var pools = require('./pools');

function rollback(client, done, err, callback) {
  client.query('ROLLBACK', function (rollbackErr) {
    // A client that cannot even roll back is not given to anyone else.
    done(rollbackErr);
    callback(err);
  });
}

function record(articleId, view, callback) {
  pools.high.connect(function (err, client, done) {
    if (err) return callback(err);
    listen(client);
    client.query('BEGIN', function (err) {
      if (err) return rollback(client, done, err, callback);
      client.query(
        'INSERT INTO news.article_views (article_id, seconds, referrer) VALUES ($1, $2, $3)',
        [articleId, view.seconds, view.referrer],
        function (err) {
          if (err) return rollback(client, done, err, callback);
          client.query(
            'INSERT INTO news.view_totals AS t (article_id, views) VALUES ($1, 1) ' +
              'ON CONFLICT (article_id) DO UPDATE SET views = t.views + 1 RETURNING views',
            [articleId],
            function (err, result) {
              if (err) return rollback(client, done, err, callback);
              client.query('COMMIT', function (err) {
                done(err);
                if (err) return callback(err);
                callback(null, Number(result.rows[0].views));
              });
            },
          );
        },
      );
    });
  });
}

function mostRead(limit, callback) {
  pools.high.query(
    {
      text:
        'SELECT a.id, a.title, a.section, t.views FROM news.trending t ' +
        'JOIN news.articles a ON a.id = t.article_id ORDER BY t.views DESC, a.id LIMIT $1',
      values: [limit],
      readOnly: true,
    },
    function (err, result) {
      if (err) return callback(err);
      callback(null, result.rows);
    },
  );
}

module.exports = { record: record, mostRead: mostRead };
