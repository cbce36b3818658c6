// pgjdbc: server-side prepared statements, batches, cursors, generated keys, cancel by timeout, COPY, notifications.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.util.Arrays;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public final class Client {
    static final String URL = "jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/";

    static String env(String name) {
        return System.getenv(name);
    }

    static void show(String step, Object value) {
        System.out.println(step + ": " + value);
    }

    static Connection connect(String database, String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", env("PGUSER"));
        properties.setProperty("password", env("PGPASSWORD"));
        properties.setProperty("ApplicationName", "conformance");
        properties.setProperty("sslmode", env("PGSSLMODE"));
        if (env("PGSSLROOTCERT") != null) {
            properties.setProperty("sslrootcert", env("PGSSLROOTCERT"));
        }
        for (int i = 0; i < options.length; i += 2) {
            properties.setProperty(options[i], options[i + 1]);
        }
        return DriverManager.getConnection(URL + database, properties);
    }

    static Object one(Connection connection, String query) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(query)) {
            rows.next();
            return rows.getObject(1);
        }
    }

    static void statements(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("create table item (id serial primary key, name text unique, price numeric)");
        }
        try (PreparedStatement insert = connection.prepareStatement(
                "insert into item (name, price) values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
            for (int i = 0; i < 20; i++) { // the sixth run switches to a named statement
                insert.setString(1, "name \u2603 " + i);
                insert.setBigDecimal(2, new BigDecimal("1.50").add(BigDecimal.valueOf(i)));
                insert.executeUpdate();
            }
            try (ResultSet keys = insert.getGeneratedKeys()) {
                keys.next();
                show("last key", keys.getInt(1));
            }
        }
        show("prepared on the server", one(connection, "select count(*) > 0 from pg_prepared_statements"));
        try (PreparedStatement types = connection.prepareStatement(
                "select ?::int8, ?::text, ?::bytea, ?::timestamptz, ?::int[], ?::bool")) {
            for (int i = 0; i < 8; i++) {
                types.setLong(1, Long.MAX_VALUE);
                types.setString(2, "x".repeat(1000));
                types.setBytes(3, new byte[300_000]);
                types.setTimestamp(4, new java.sql.Timestamp(0));
                types.setArray(5, connection.createArrayOf("int4", new Integer[] {1, null, 3}));
                types.setNull(6, Types.BOOLEAN);
                try (ResultSet rows = types.executeQuery()) {
                    rows.next();
                    if (i % 7 == 0) {
                        show("types", rows.getLong(1) + " " + rows.getString(2).length() + " "
                            + rows.getBytes(3).length + " " + rows.getTimestamp(4).getTime() + " "
                            + Arrays.toString((Object[]) rows.getArray(5).getArray()) + " " + rows.getObject(6));
                    }
                }
            }
        }
        try (Statement statement = connection.createStatement()) {
            statement.execute("select 1; select 2; update item set price = 0 where false");
            show("several", statement.getMoreResults() + " " + statement.getMoreResults() + " " + statement.getUpdateCount());
        }
    }

    static void batches(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement insert = connection.prepareStatement("insert into item (name) values (?)")) {
            for (int i = 0; i < 1000; i++) {
                insert.setString(1, "batch " + i);
                insert.addBatch();
            }
            show("batch", Arrays.stream(insert.executeBatch()).sum());
            connection.commit();
            for (String name : new String[] {"new", "batch 1", "newer"}) {
                insert.setString(1, name);
                insert.addBatch();
            }
            insert.executeBatch();
        } catch (BatchUpdateException error) {
            show("batch error", error.getSQLState() + " " + Arrays.toString(error.getUpdateCounts()));
            connection.rollback();
        }
        Savepoint savepoint = connection.setSavepoint("here");
        try {
            one(connection, "select 1 / 0");
        } catch (SQLException error) {
            show("error", error.getSQLState());
            connection.rollback(savepoint);
        }
        try (PreparedStatement walk = connection.prepareStatement("select id from item order by id")) {
            walk.setFetchSize(50); // a portal, read piece by piece
            long sum = 0;
            try (ResultSet rows = walk.executeQuery()) {
                while (rows.next()) {
                    sum += rows.getInt(1);
                }
            }
            show("fetched", sum);
        }
        connection.commit();
        connection.setAutoCommit(true);
        show("count", one(connection, "select count(*) from item"));
    }

    static void copying(PGConnection connection) throws Exception {
        CopyManager copies = connection.getCopyAPI();
        StringBuilder text = new StringBuilder();
        for (int i = 10_000; i < 30_000; i++) {
            text.append(i).append("\tcopied ").append(i).append("\t\\N\n");
        }
        byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
        show("copy in", copies.copyIn("copy item from stdin", new ByteArrayInputStream(bytes)));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        show("copy out", copies.copyOut("copy item to stdout (format csv)", out) + " " + out.size());
        try {
            copies.copyIn("copy item from stdin", new ByteArrayInputStream("wrong\n".getBytes()));
        } catch (SQLException error) {
            show("copy error", error.getSQLState());
        }
    }

    static void cancelling(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            try {
                statement.execute("select pg_sleep(30)");
            } catch (SQLException error) {
                show("timeout", error.getSQLState());
            }
            show("after", one(connection, "select 1"));
        }
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    Thread.sleep(300);
                    statement.cancel();
                } catch (Exception error) {
                    show("cancel", error);
                }
            });
            canceller.start();
            try {
                statement.execute("select pg_sleep(30)");
            } catch (SQLException error) {
                show("cancelled", error.getSQLState());
            }
            canceller.join();
            show("after", one(connection, "select 2"));
        }
    }

    static void notifications(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement(); Connection other = connect(env("PGDATABASE"))) {
            statement.execute("listen news");
            try (Statement notifier = other.createStatement()) {
                notifier.execute("notify news, 'hello'");
            }
            for (var notification : connection.unwrap(PGConnection.class).getNotifications(10_000)) {
                show("notified", notification.getName() + " " + notification.getParameter());
            }
            statement.execute("do $$ begin raise notice 'noticed'; end $$");
            show("warning", statement.getWarnings().getMessage());
        }
        show("parameter", connection.unwrap(PGConnection.class).getParameterStatus("application_name"));
        connection.setClientInfo("ApplicationName", "renamed");
        show("renamed", one(connection, "show application_name"));
        connection.setReadOnly(true);
        connection.setAutoCommit(false);
        try {
            one(connection, "delete from item returning 1");
        } catch (SQLException error) {
            show("read only", error.getSQLState());
        }
        connection.rollback();
        show("valid", connection.isValid(5));
    }

    public static void main(String[] arguments) throws Exception {
        for (String mode : new String[] {"extended", "simple", "extendedForPrepared"}) {
            show("mode", mode);
            try (Connection connection = connect(env("PGDATABASE"), "preferQueryMode", mode)) {
                show("tables", one(connection, "select count(*) from pg_tables where schemaname = 'public'"));
                if (mode.equals("extended")) {
                    statements(connection);
                    batches(connection);
                    copying(connection.unwrap(PGConnection.class));
                    cancelling(connection);
                    notifications(connection);
                } else {
                    try (PreparedStatement select = connection.prepareStatement("select ? || ' ' || count(*) from item")) {
                        for (int i = 0; i < 10; i++) {
                            select.setString(1, "run " + i);
                            try (ResultSet rows = select.executeQuery()) {
                                rows.next();
                                show("row", rows.getString(1));
                            }
                        }
                    }
                }
            }
        }
        for (String[] wrong : new String[][] {{"nowhere"}, {env("PGDATABASE"), "password", "wrong"}}) {
            try (Connection connection = connect(wrong[0], Arrays.copyOfRange(wrong, 1, wrong.length))) {
                show("connected", connection);
            } catch (SQLException error) {
                show("refused", error.getSQLState());
            }
        }
        show("end", "done");
    }
}
