//! The parsing of texts that is faster here than in JavaScript. Each function understands the plain form only
//! and returns none for every other, which is left to the type parser of pg-types.

const MS_PER_DAY: f64 = 86_400_000.0;

/// int2, int4, oid, float4, float8.
pub(super) fn number(value: &[u8]) -> Option<f64> {
    match value {
        [b'0'..=b'9'] => Some(f64::from(value[0] - b'0')),
        [b'-', digits @ ..] if is_short_integer(digits) => Some(-integer(digits)),
        digits if is_short_integer(digits) => Some(integer(digits)),
        _ => std::str::from_utf8(value).ok()?.parse().ok(),
    }
}

/// The most digits that a double holds exactly.
fn is_short_integer(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit)
}

fn integer(digits: &[u8]) -> f64 {
    let value = digits.iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    #[expect(clippy::cast_precision_loss, reason = "at most 15 digits")]
    let value = value as f64;
    value
}

/// bool.
pub(super) fn boolean(value: &[u8]) -> Option<f64> {
    match value {
        b"t" => Some(1.0),
        b"f" => Some(0.0),
        _ => None,
    }
}

/// timestamptz as milliseconds since 1970 UTC.
pub(super) fn instant(value: &[u8]) -> Option<f64> {
    let (fields, zone) = calendar(value)?;
    let offset = zone_seconds(zone)?;
    let seconds =
        f64::from(fields.hour) * 3600.0 + f64::from(fields.minute) * 60.0 + f64::from(fields.second);
    let ms = days_from_civil(fields.year, fields.month, fields.day) * MS_PER_DAY
        + seconds * 1000.0
        + f64::from(fields.millisecond);
    Some(ms - offset * 1000.0)
}

/// timestamp and date as packed calendar fields: only JavaScript knows its time zone.
pub(super) fn local(value: &[u8]) -> Option<f64> {
    let (fields, rest) = calendar(value)?;
    if !rest.is_empty() {
        return None;
    }
    let mut packed = f64::from(fields.year);
    for (field, size) in [
        (fields.month, 16.0),
        (fields.day, 32.0),
        (fields.hour, 32.0),
        (fields.minute, 64.0),
        (fields.second, 64.0),
        (fields.millisecond, 1024.0),
    ] {
        packed = packed * size + f64::from(field);
    }
    Some(packed)
}

struct Calendar {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    millisecond: u32,
}

/// `YYYY-MM-DD`, perhaps with ` HH:MM:SS` and a fraction; and the rest of the text.
fn calendar(value: &[u8]) -> Option<(Calendar, &[u8])> {
    let (date, rest) = value.split_first_chunk::<10>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let mut fields = Calendar {
        year,
        month: two(m1, m2)?,
        day: two(d1, d2)?,
        hour: 0,
        minute: 0,
        second: 0,
        millisecond: 0,
    };
    if fields.year == 0 || !(1..=12).contains(&fields.month) || !(1..=31).contains(&fields.day) {
        return None;
    }
    if rest.is_empty() {
        return Some((fields, rest));
    }
    let (time, mut rest) = rest.split_first_chunk::<9>()?;
    let [b' ', h1, h2, b':', n1, n2, b':', s1, s2] = *time else { return None };
    fields.hour = two(h1, h2)?;
    fields.minute = two(n1, n2)?;
    fields.second = two(s1, s2)?;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        fields.millisecond = milliseconds(&fraction[..digits])?;
        rest = &fraction[digits..];
    }
    Some((fields, rest))
}

/// A fraction of a second, cut to milliseconds.
fn milliseconds(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 6 {
        return None;
    }
    let digit = |index: usize| u32::from(digits.get(index).map_or(0, |digit| digit - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

/// `+HH`, `-HH:MM` or `+HH:MM:SS` in seconds east of Greenwich.
fn zone_seconds(zone: &[u8]) -> Option<f64> {
    let (sign, rest) = zone.split_first()?;
    let (hours, minutes, seconds) = match *rest {
        [h1, h2] => (two(h1, h2)?, 0, 0),
        [h1, h2, b':', m1, m2] => (two(h1, h2)?, two(m1, m2)?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?),
        _ => return None,
    };
    let east = f64::from(hours * 3600 + minutes * 60 + seconds);
    match sign {
        b'+' => Some(east),
        b'-' => Some(-east),
        _ => None,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, for years from 1.
fn days_from_civil(year: u32, month: u32, day: u32) -> f64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    f64::from(era * 146_097 + day_of_era) - 719_468.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_others_left_alone() {
        assert_eq!(number(b"7"), Some(7.0));
        assert_eq!(number(b"-2147483648"), Some(-2_147_483_648.0));
        assert_eq!(number(b"4294967295"), Some(4_294_967_295.0));
        assert_eq!(number(b"1.5e-300"), Some(1.5e-300));
        assert_eq!(number(b"-Infinity"), Some(f64::NEG_INFINITY));
        assert!(number(b"NaN").is_some_and(f64::is_nan));
        assert_eq!(number(b""), None);
        assert_eq!(number(b"seven"), None);
    }

    #[test]
    fn an_instant_is_milliseconds_since_the_epoch() {
        assert_eq!(instant(b"1970-01-01 00:00:00+00"), Some(0.0));
        assert_eq!(instant(b"2024-02-29 12:34:56.789123+02"), Some(1_709_202_896_789.0));
        assert_eq!(instant(b"1969-12-31 23:59:59.999-00:30"), Some(1_799_999.0));
        assert_eq!(instant(b"0001-01-01 00:00:00+00"), Some(-62_135_596_800_000.0));
        assert_eq!(instant(b"infinity"), None);
        assert_eq!(instant(b"10000-01-01 00:00:00+00"), None);
        assert_eq!(instant(b"0044-03-15 00:00:00+00 BC"), None);
    }

    #[test]
    fn a_local_time_keeps_its_calendar_fields() {
        let packed = |f: [f64; 7]| {
            [16.0, 32.0, 32.0, 64.0, 64.0, 1024.0]
                .iter()
                .zip(&f[1..])
                .fold(f[0], |sum, (size, field)| sum * size + field)
        };
        assert_eq!(local(b"2024-02-29"), Some(packed([2024.0, 2.0, 29.0, 0.0, 0.0, 0.0, 0.0])));
        assert_eq!(
            local(b"1999-12-31 23:59:58.5"),
            Some(packed([1999.0, 12.0, 31.0, 23.0, 59.0, 58.0, 500.0]))
        );
        assert_eq!(local(b"2024-02-29 BC"), None);
        assert_eq!(local(b"29.02.2024"), None);
    }
}
