hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 2 --csv > b.csv
python3 -c 'import csv; rows = list(csv.DictReader(open("b.csv"))); print(rows[0]["test"], len(rows))'
