"""When schedules come due, by Python's `zoneinfo`: nothing of it is ours. A line for each time zone and expression: both, and seconds
since 1970, from 2016 to the end of 2025.

A time that the clocks skip is what `datetime` makes of it: counted with the offset before. One that they show twice is the first, and
both where the expression is one of intervals (a `*` in its minutes or hours).
"""
import datetime
import sys
import zoneinfo

UTC = datetime.timezone.utc
FIRST, LAST = datetime.date(2015, 12, 30), datetime.date(2026, 1, 2)
FROM = int(datetime.datetime(2016, 1, 1, tzinfo=UTC).timestamp())
TO = int(datetime.datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def values(field, least, most):
    found = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            low, high = least, most
        else:
            low, _, high = span.partition("-")
            low, high = int(low), int(high or low)
        found.update(range(low, high + 1, int(step or 1)))
    return found


def days(day_field, month_field, weekday_field):
    months = values(month_field, 1, 12)
    dates, weekdays = values(day_field, 1, 31), {value % 7 for value in values(weekday_field, 0, 7)}
    day = FIRST
    while day <= LAST:
        by_date, by_weekday = day.day in dates, day.isoweekday() % 7 in weekdays
        # Either is enough where both are given (POSIX, crontab).
        if "*" in (day_field, weekday_field):
            fits = by_date and by_weekday
        else:
            fits = by_date or by_weekday
        if fits and day.month in months:
            yield day
        day += datetime.timedelta(days=1)


def moments(expression, zone):
    minute_field, hour_field, *rest = expression.split()
    is_interval = "*" in minute_field or "*" in hour_field
    minutes, hours = values(minute_field, 0, 59), values(hour_field, 0, 23)
    found = set()
    for day in days(*rest):
        for hour in hours:
            for minute in minutes:
                first = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                found.add(int(first.timestamp()))
                second = first.replace(fold=1)
                if is_interval and second.utcoffset() < first.utcoffset():
                    found.add(int(second.timestamp()))
    return sorted(moment for moment in found if FROM <= moment < TO)


expressions = sys.argv[sys.argv.index("--") + 1 :]
for name in sys.argv[1 : sys.argv.index("--")]:
    for expression in expressions:
        print(name, expression, " ".join(map(str, moments(expression, zoneinfo.ZoneInfo(name)))), sep="|")
