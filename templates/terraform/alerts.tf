locals {
  # The program's counters over ten minutes.
  counted = {
    for name in ["dead_letters_(written|spilled)", "dead_letters_refused", "rows_lag_ms_count", "rows_lag_ms_sum", "rows_written", "write_retries"] :
    name => "sum(delta(dataflow_googleapis_com:job_user_counter{job_name=\"${var.name}\", metric_name=~\"${name}\"}[10m]))"
  }

  # A time series of Google's and the value above which it is reported, after so many seconds; or a query of counters.
  alerts = {
    backlog = {
      title     = "messages wait too long to be taken"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.messages.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      threshold = var.max_backlog_seconds
      seconds   = 300
      content   = "Workers are falling behind: look at the job's CPU, its errors, and max_workers."
    }
    system_lag = {
      title     = "messages wait too long in the job"
      filter    = "resource.type = \"dataflow_job\" AND resource.labels.job_name = \"${var.name}\" AND metric.type = \"dataflow.googleapis.com/job/system_lag\""
      threshold = var.max_lag_seconds
      seconds   = 300
      content   = "Something holds up messages that workers have taken: look at the job's errors, and at the counter write_retries."
    }
    failed = {
      title     = "the job has failed"
      filter    = "resource.type = \"dataflow_job\" AND resource.labels.job_name = \"${var.name}\" AND metric.type = \"dataflow.googleapis.com/job/is_failed\""
      threshold = 0
      seconds   = 0
      content   = "Nothing reads the subscription, which keeps messages for seven days. The job's log says why; terraform apply starts another one."
    }
    dead_letters = {
      title   = "too many dead letters"
      query   = "${local.counted["dead_letters_(written|spilled)"]} / clamp_min(${local.counted["rows_written"]} or vector(0), 1) > ${var.max_dead_letter_ratio}"
      content = "templates/sql/error_records_by_reason.sql shows what was rejected, and why."
    }
    refused_letters = {
      title   = "dead letters are refused"
      query   = "${local.counted["dead_letters_refused"]} > 0"
      content = "The table of dead letters does not take them, so their messages are not acknowledged, or, with spill_dir, they are there. Workers' logs say why."
    }
    retries = {
      title   = "writes are tried again and again"
      query   = "${local.counted["write_retries"]} > ${var.max_write_retries}"
      content = "BigQuery turns rows away for now, for a quota or an outage. After retry_seconds a bundle fails, and its messages come again."
    }
    # Of counters: the distribution that the job reports too is of its whole life, and its greatest value never falls.
    lag = {
      title   = "rows come too late"
      query   = "${local.counted["rows_lag_ms_sum"]} / clamp_min(${local.counted["rows_lag_ms_count"]}, 1) > ${var.max_row_lag_seconds * 1000}"
      content = "Rows are acknowledged long after their messages were published, or after the time that timestamp_field gives: look at the backlog, the encoder's speed, and BigQuery's errors."
    }
  }
}

resource "google_monitoring_alert_policy" "alerts" {
  for_each = local.alerts

  project               = var.project
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = each.value.title

    dynamic "condition_threshold" {
      for_each = try([each.value.filter], [])
      content {
        filter          = condition_threshold.value
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.threshold
        duration        = "${each.value.seconds}s"

        aggregations {
          alignment_period   = "60s"
          per_series_aligner = "ALIGN_MAX"
        }
      }
    }

    dynamic "condition_prometheus_query_language" {
      for_each = try([each.value.query], [])
      content {
        query               = condition_prometheus_query_language.value
        duration            = "300s"
        evaluation_interval = "60s"
      }
    }
  }

  documentation {
    content = each.value.content
  }

  depends_on = [google_project_service.services]
}
