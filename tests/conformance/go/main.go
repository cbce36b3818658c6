// pgx: the driver of most Go programs. Statement cache, batches (one pipeline), CopyFrom, LISTEN, cancel by context.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var background = context.Background()

func show(step string, values ...any) {
	fmt.Printf("%s: %v\n", step, values)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// failure returns what matters of an error: its SQLSTATE.
func failure(err error) string {
	var reported *pgconn.PgError
	if errors.As(err, &reported) {
		return reported.Code
	}
	if err != nil {
		return "other: " + err.Error()
	}
	return "none"
}

func connect(more string) *pgx.Conn {
	config, err := pgx.ParseConfig(more)
	must(err)
	connection, err := pgx.ConnectConfig(background, config)
	must(err)
	return connection
}

func one[T any](connection *pgx.Conn, query string, arguments ...any) T {
	var value T
	must(connection.QueryRow(background, query, arguments...).Scan(&value))
	return value
}

func exec(connection *pgx.Conn, query string, arguments ...any) string {
	tag, err := connection.Exec(background, query, arguments...)
	must(err)
	return tag.String()
}

func statements(connection *pgx.Conn) {
	show("create", exec(connection, "create table item (id int primary key, name text, data bytea)"))
	for i := range 20 {
		exec(connection, "insert into item values ($1, $2, $3)", i, fmt.Sprintf("name \u2603 %d", i), bytes.Repeat([]byte{byte(i)}, 50_000))
	}
	show("sum", one[int64](connection, "select sum(length(data)) from item"))
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		rows, err := connection.Query(background, "select id, name from item where id < $1 order by id", mode, 3)
		must(err)
		names, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			ID   int32
			Name string
		}])
		must(err)
		show("mode "+mode.String(), names)
	}
	_, err := connection.Prepare(background, "named", "select $1::int + $2::int")
	must(err)
	show("named", one[int](connection, "named", 1, 2))
	must(connection.Deallocate(background, "named"))
	_, err = connection.Exec(background, "insert into item (id) values (1)")
	show("duplicate", failure(err))
	_, err = connection.Exec(background, "select nosuch")
	show("undefined", failure(err))
	results, err := connection.PgConn().Exec(background, "select 1; select 2; select 1/0; select 3").ReadAll()
	show("several", len(results), failure(err))
}

func batches(connection *pgx.Conn) {
	batch := &pgx.Batch{}
	for i := range 200 {
		batch.Queue("select $1::int", i)
	}
	sum := 0
	results := connection.SendBatch(background, batch)
	for range 200 {
		var value int
		must(results.QueryRow().Scan(&value))
		sum += value
	}
	must(results.Close())
	show("batch", sum)
	broken := &pgx.Batch{}
	broken.Queue("insert into item (id) values (1000)")
	broken.Queue("insert into item (id) values (1)")
	broken.Queue("insert into item (id) values (1001)")
	show("broken batch", failure(connection.SendBatch(background, broken).Close()))
	show("rolled back", one[int](connection, "select count(*) from item where id >= 1000"))

	pipeline := connection.PgConn().StartPipeline(background)
	for i := range 5 {
		pipeline.SendQueryParams("select $1::text", [][]byte{[]byte(fmt.Sprint(i))}, nil, nil, nil)
		if i == 2 {
			pipeline.SendQueryParams("select 1 / 0", nil, nil, nil, nil)
		}
		pipeline.SendPipelineSync()
	}
	must(pipeline.Flush())
	var seen []string
	for range 11 {
		result, err := pipeline.GetResults()
		switch found := result.(type) {
		case *pgconn.ResultReader:
			read := found.Read()
			for _, row := range read.Rows {
				seen = append(seen, string(row[0]))
			}
			if read.Err != nil {
				seen = append(seen, failure(read.Err))
			}
		case *pgconn.PipelineSync:
			seen = append(seen, "sync")
		default:
			seen = append(seen, failure(err))
		}
	}
	show("pipeline", strings.Join(seen, " "))
	must(pipeline.Close())
}

func transactions(connection *pgx.Conn) {
	err := pgx.BeginFunc(background, connection, func(transaction pgx.Tx) error {
		_, err := transaction.Exec(background, "delete from item where id > 10")
		must(err)
		inner := pgx.BeginFunc(background, transaction, func(savepoint pgx.Tx) error {
			_, err := savepoint.Exec(background, "select 1 / 0")
			return err
		})
		show("savepoint", failure(inner))
		return nil
	})
	must(err)
	show("left", one[int](connection, "select count(*) from item"), string(connection.PgConn().TxStatus()))
	rows := make([][]any, 20_000)
	for i := range rows {
		rows[i] = []any{i + 10_000, fmt.Sprintf("copied %d", i)}
	}
	count, err := connection.CopyFrom(background, pgx.Identifier{"item"}, []string{"id", "name"}, pgx.CopyFromRows(rows))
	must(err)
	var out bytes.Buffer
	_, err = connection.PgConn().CopyTo(background, &out, "copy item (id, name) to stdout")
	must(err)
	show("copied", count, out.Len())
	_, err = connection.PgConn().CopyFrom(background, strings.NewReader("wrong\n"), "copy item from stdin")
	show("copy error", failure(err))
}

func cancelling() {
	connection := connect("")
	defer connection.Close(background)
	soon, stop := context.WithTimeout(background, 300*time.Millisecond)
	defer stop()
	_, err := connection.Exec(soon, "select pg_sleep(30)")
	show("timed out", errors.Is(err, context.DeadlineExceeded), connection.IsClosed())

	other := connect("")
	defer other.Close(background)
	go func() {
		time.Sleep(300 * time.Millisecond)
		must(other.PgConn().CancelRequest(background))
	}()
	_, err = other.Exec(background, "select pg_sleep(30)")
	show("cancelled", failure(err))
	show("usable", one[int](other, "select 1"))
}

func listening(connection *pgx.Conn) {
	exec(connection, "listen news")
	other := connect("")
	for i := range 3 {
		exec(other, "select pg_notify('news', $1)", fmt.Sprint(i))
	}
	must(other.Close(background))
	for range 3 {
		limited, stop := context.WithTimeout(background, 10*time.Second)
		heard, err := connection.WaitForNotification(limited)
		must(err)
		stop()
		show("heard", heard.Channel, heard.Payload)
	}
	show("pid", one[uint32](connection, "select pg_backend_pid()") == connection.PgConn().PID())
	show("parameter", connection.PgConn().ParameterStatus("client_encoding"))
}

func main() {
	connection := connect("")
	statements(connection)
	batches(connection)
	transactions(connection)
	listening(connection)
	must(connection.Close(background))
	cancelling()

	pool, err := pgxpool.New(background, "pool_max_conns=5")
	must(err)
	sums := make(chan int)
	for i := range 50 {
		go func() {
			var value int
			must(pool.QueryRow(background, "select $1::int", i).Scan(&value))
			sums <- value
		}()
	}
	sum := 0
	for range 50 {
		sum += <-sums
	}
	pool.Close()
	show("pool", sum)

	for _, wrong := range []string{"password=wrong", "dbname=nowhere"} {
		_, err := pgx.Connect(background, wrong)
		show("refused "+wrong, failure(err))
	}
	fmt.Println("end: done")
	os.Exit(0)
}
