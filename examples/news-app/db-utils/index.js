// Everything the application asks of its database, grouped by subject.

'use strict';

module.exports = {
  pools: require('./pools'),
  articles: require('./articles'),
  comments: require('./comments'),
  views: require('./views'),
  reports: require('./reports'),
  admin: require('./admin'),
};
