// A redirect keeps the fragment of the requested address (Fetch standard, HTTP-redirect fetch, 4):
// that of the form's action, or of the link.
document.querySelectorAll('form').forEach(form => form.addEventListener('submit', () => {
    if (location.hash) form.action = new URL(location.hash, form.action).href;
}));
document.querySelectorAll('a.button').forEach(link => link.addEventListener('click', () => {
    link.hash = location.hash;
}));
